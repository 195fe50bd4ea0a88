//! What was found, for people and for programs.

use pkpass::{Finding, Severity};
use serde_json::{Map, Value, json};
use simulators::conformance::{Played, Verdict};

use crate::system::say;

/// One thing that is amiss.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) severity: Severity,
    pub(super) place: String,
    pub(super) rule: String,
    pub(super) consequence: String,
    pub(super) mend: String,
    pub(super) source: String,
}

impl From<Finding> for Line {
    fn from(finding: Finding) -> Self {
        Self {
            severity: finding.severity,
            place: finding.path,
            rule: finding.rule.to_owned(),
            consequence: finding.consequence,
            mend: finding.mend,
            source: finding.source.to_owned(),
        }
    }
}

impl Line {
    /// A finding of the API's.
    pub(super) fn read(found: &Value) -> Self {
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        let severity = match found["severity"].as_str() {
            Some("refused") => Severity::Refused,
            Some("lost") => Severity::Lost,
            _ => Severity::Advice,
        };
        let place = match found["area"].as_str() {
            None | Some("pass" | "certificate" | "template") => text("path"),
            Some(area) => format!("{area}, {}", text("path")),
        };
        let (rule, consequence, mend, source) = (text("rule"), text("consequence"), text("mend"), text("source"));
        Self { severity, place, rule, consequence, mend, source }
    }

    /// A case of the conformance kit that fails. What keeps a phone from the pass is worse than the rest.
    pub(super) fn of(played: &Played) -> Option<Self> {
        let Verdict::Failed(came) = &played.verdict else { return None };
        let case = played.case;
        let severity = if matches!(case.name, "https" | "fetch") { Severity::Refused } else { Severity::Lost };
        Some(Self {
            severity,
            place: "web service".to_owned(),
            rule: case.name.to_owned(),
            consequence: format!("{}: {came}, where {}", case.why, case.demand),
            mend: case.mend.to_owned(),
            source: case.source.to_owned(),
        })
    }
}

/// What was examined and what was found.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) subject: String,
    /// What else is to be told about it, in sentences.
    pub(super) notes: Vec<String>,
    pub(super) lines: Vec<Line>,
    /// The same for programs.
    pub(super) more: Map<String, Value>,
}

impl Report {
    pub(super) fn new(subject: impl Into<String>, lines: Vec<Line>) -> Self {
        Self { subject: subject.into(), notes: Vec::new(), lines, more: Map::new() }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.lines.iter().any(|line| line.severity == Severity::Refused)
    }

    pub(super) fn print(&self, as_json: bool) {
        if as_json {
            let findings: Vec<Value> = self.lines.iter().map(shown).collect();
            let worst = self.lines.iter().map(|line| line.severity).min();
            let mut whole = json!({"subject": self.subject, "verdict": worst.map_or("well", word), "findings": findings});
            if let Some(fields) = whole.as_object_mut() {
                fields.extend(self.more.clone());
            }
            say(&whole.to_string());
            return;
        }
        let count = |severity| self.lines.iter().filter(|line| line.severity == severity).count();
        let verdict = match (count(Severity::Refused), count(Severity::Lost)) {
            (0, 0) => "nothing is amiss for a holder".to_owned(),
            (0, 1) => "it works, and one thing is left out or goes wrong".to_owned(),
            (0, lost) => format!("it works, and {lost} things are left out or go wrong"),
            (1, _) => "it does not work for a holder, for one reason".to_owned(),
            (refused, _) => format!("it does not work for a holder, for {refused} reasons"),
        };
        say(&format!("{}: {verdict}", self.subject));
        for note in &self.notes {
            say(&format!("  {note}"));
        }
        for line in &self.lines {
            say(&format!("\n{}  {}  ({})", word(line.severity), line.place, line.rule));
            say(&format!("  {}", line.consequence));
            say(&format!("  mend: {}", line.mend));
            say(&format!("  see {}", line.source));
        }
    }
}

pub(super) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Refused => "refused",
        Severity::Lost => "lost",
        Severity::Advice => "advice",
    }
}

fn shown(line: &Line) -> Value {
    json!({"severity": word(line.severity), "path": line.place, "rule": line.rule, "source": line.source,
        "consequence": line.consequence, "mend": line.mend})
}
