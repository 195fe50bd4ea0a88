//! Condition → text, so that what an editor built can be shown, stored and pasted.

use super::ast::{Condition, Field, Junction, Operator, Scalar};
use super::parse::as_pattern;
use script::js;

use crate::Problem;

impl Condition {
    /// The condition as text; parsing it gives a condition that means the same.
    ///
    /// # Errors
    /// When a text has both kinds of quotes, which the language cannot write down.
    pub fn to_text(&self) -> Result<String, Problem> {
        match self {
            Self::Group { operator: Junction::Not, children } if matches!(children.as_slice(), [Self::Group { .. }]) => {
                Ok(format!("!({})", children[0].to_text()?))
            }
            Self::Group { operator: Junction::Not, children } => Ok(format!("!({})", joined(children, "and")?)),
            Self::Group { operator, children } => joined(children, operator.word()),
            Self::Compare { field, operator, value } => compare(field, *operator, value.as_ref()),
        }
    }
}

fn joined(children: &[Condition], word: &str) -> Result<String, Problem> {
    let parts: Result<Vec<String>, Problem> = children
        .iter()
        .map(|child| match child {
            Condition::Group { operator: Junction::And | Junction::Or, .. } => Ok(format!("({})", child.to_text()?)),
            _ => child.to_text(),
        })
        .collect();
    Ok(parts?.join(&format!(" {word} ")))
}

fn compare(field: &Field, operator: Operator, value: Option<&Scalar>) -> Result<String, Problem> {
    let member = matches!(field, Field::Property(_) | Field::Trait(_) | Field::Context(_));
    let field = name(field);
    let text = value.map(|value| js::string(&value.to_json())).unwrap_or_default();
    Ok(match operator {
        Operator::Exists => format!("{field} != null"),
        Operator::NotExists => format!("{field} = null"),
        Operator::IsTrue => format!("{field} = true"),
        Operator::IsFalse => format!("{field} = false"),
        Operator::Contains => format!("contains({field}, {})", quote(&text)?),
        Operator::NotContains => format!("!contains({field}, {})", quote(&text)?),
        Operator::StartsWith | Operator::EndsWith | Operator::Matches => {
            format!("match({field}, {})", quote(&as_pattern(operator, &text).unwrap_or_default())?)
        }
        Operator::NotStartsWith | Operator::NotEndsWith | Operator::NotMatches => {
            format!("!match({field}, {})", quote(&as_pattern(operator, &text).unwrap_or_default())?)
        }
        Operator::NumberEquals | Operator::NumberNotEquals if !member => format!("{field} {} {text}", operator.word()),
        Operator::NumberEquals => format!("{field} = {text}"),
        Operator::NumberNotEquals => format!("{field} != {text}"),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            format!("{field} {} {text}", operator.word())
        }
        Operator::Includes => format!("{} in {field}", scalar(value)?),
        Operator::Equal | Operator::NotEqual => format!("{field} {} {}", operator.word(), scalar(value)?),
    })
}

fn scalar(value: Option<&Scalar>) -> Result<String, Problem> {
    match value {
        Some(Scalar::Text(text)) => quote(text),
        Some(other) => Ok(js::string(&other.to_json())),
        None => quote(""),
    }
}

fn name(field: &Field) -> String {
    let (prefix, member) = match field {
        Field::Type => return "type".to_owned(),
        Field::Event => return "event".to_owned(),
        Field::Name => return "name".to_owned(),
        Field::UserId => return "userId".to_owned(),
        Field::Property(member) => ("properties", member),
        Field::Trait(member) => ("traits", member),
        Field::Context(member) => ("context", member),
    };
    let mut out = format!("{prefix}.");
    for c in member.chars() {
        if !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn quote(text: &str) -> Result<String, Problem> {
    if !text.contains('"') {
        Ok(format!("\"{text}\""))
    } else if !text.contains('\'') {
        Ok(format!("'{text}'"))
    } else {
        Err(Problem::new(
            "",
            format!("the text {} has both kinds of quotes, which a condition cannot write down", crate::problem::clip(text, 60)),
        ))
    }
}
