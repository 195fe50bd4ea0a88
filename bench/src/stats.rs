//! Medians, percentiles and lines of a report.

/// The middle value; of an even number of values, the lower of the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value below which that share lies (nearest rank); zero of nothing.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// One line of the report.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The aim, in words, and whether it is met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aim: Option<(String, bool)>,
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, aim: None }
    }

    /// With an upper bound.
    pub(crate) fn at_most(mut self, bound: f64) -> Self {
        self.aim = Some((format!("at most {}", shown(bound)), self.value <= bound));
        self
    }

    /// With a lower bound.
    pub(crate) fn at_least(mut self, bound: f64) -> Self {
        self.aim = Some((format!("at least {}", shown(bound)), self.value >= bound));
        self
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<62} {:>10} {}", self.what, shown(self.value), self.unit)?;
        match &self.aim {
            Some((aim, true)) => write!(f, "  ({aim}: met)"),
            Some((aim, false)) => write!(f, "  ({aim}: MISSED)"),
            None => Ok(()),
        }
    }
}

fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_take_the_nearest_rank() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((median(&values), percentile(&values, 0.99), percentile(&values, 1.0)), (50.0, 99.0, 100.0));
        assert_eq!((median(&[3.0]), median(&[]), median(&[3.0, 1.0, 2.0])), (3.0, 0.0, 2.0));
    }

    #[test]
    fn a_line_says_whether_its_aim_is_met() {
        assert!(Line::new("x", 59.9, "µs").at_most(60.0).to_string().contains("at most 60.0: met"));
        assert!(Line::new("x", 79.0, "%").at_least(80.0).to_string().contains("MISSED"));
    }
}
