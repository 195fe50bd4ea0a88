//! Bodies that people make for their webhooks: a text with placeholders ([`script::text`]), or JSON with directives
//! ([`crate::mapping`]), filled with an event.

use domain::{Content, Payload};
use script::text::{Size, Text};
use serde_json::Value;

use crate::Problem;
use crate::mapping::{Mapping, Rules};

/// A payload ready to be filled.
#[derive(Debug)]
pub struct Body {
    made: Made,
    content: Content,
}

#[derive(Debug)]
enum Made {
    Text(Box<Text>),
    Mapping(Mapping),
}

impl Body {
    /// Compiles a payload. Nothing for a transformation, which is code and not of this room.
    ///
    /// # Errors
    /// Every mistake with its place.
    pub fn compile(payload: &Payload) -> Result<Option<Self>, Vec<Problem>> {
        Self::compile_by(payload, Rules::Saving)
    }

    /// Compiles a payload as strictly as is asked for.
    ///
    /// # Errors
    /// Every mistake with its place.
    pub fn compile_by(payload: &Payload, rules: Rules) -> Result<Option<Self>, Vec<Problem>> {
        let (made, content) = match payload {
            Payload::Template { text, content } => {
                let compile = match content {
                    Content::Json | Content::Text => Text::compile,
                    Content::Xml => Text::html,
                    Content::Form => Text::form,
                };
                let text = compile(text, Size::MESSAGE).map_err(|why| vec![Problem::new("template.text", why)])?;
                (Made::Text(Box::new(text)), *content)
            }
            Payload::Mapping(mapping) => {
                let under = |problems: Vec<Problem>| problems.into_iter().map(|it| it.under("mapping")).collect::<Vec<_>>();
                (Made::Mapping(Mapping::compile_by(mapping, rules).map_err(under)?), Content::Json)
            }
            Payload::Transformation(_) => return Ok(None),
        };
        Ok(Some(Self { made, content }))
    }

    /// What it is.
    #[must_use]
    pub fn content(&self) -> Content {
        self.content
    }

    /// The body that it makes of an event.
    ///
    /// # Errors
    /// When the event outgrows a limit, a mapping makes nothing of it, or what should be JSON is none.
    pub fn fill(&self, event: &Value) -> Result<String, Problem> {
        match &self.made {
            Made::Mapping(mapping) => {
                let nothing = || Problem::new("mapping", "nothing of what it names is in this event");
                Ok(mapping.resolve(event)?.ok_or_else(nothing)?.to_string())
            }
            Made::Text(text) => {
                let body = text.render(event).map_err(|why| Problem::new("template.text", why))?;
                if self.content == Content::Json {
                    serde_json::from_str::<serde::de::IgnoredAny>(&body).map_err(|error| {
                        let advice = "write every value as `{{ value | tojson }}`, without quotes around it";
                        Problem::new("template.text", format!("it makes no JSON of this event ({error}); {advice}"))
                    })?;
                }
                Ok(body)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(payload: Value, event: &Value) -> Result<String, String> {
        let payload: Payload = serde_json::from_value(payload).unwrap();
        let body = Body::compile(&payload).map_err(|problems| problems[0].to_string())?.unwrap();
        body.fill(event).map_err(|problem| problem.to_string())
    }

    #[test]
    fn bodies_are_filled() {
        let event = json!({"type": "pass.installed", "traits": {"name": "Ada \"Countess\""}, "n": [1, 2]});
        let text = |text: &str| json!({"template": {"text": text}});
        let made = fill(
            text(r#"{"who": {{ traits.name | tojson }}, "none": {{ traits.nope | tojson }}, "n": {{ n | tojson }}}"#),
            &event,
        );
        let made: Value = serde_json::from_str(&made.unwrap()).unwrap();
        assert_eq!(made, json!({"who": "Ada \"Countess\"", "none": null, "n": [1, 2]}));
        let plain = json!({"template": {"text": "{{ traits.name }}!", "content": "text"}});
        assert_eq!(fill(plain, &event).unwrap(), "Ada \"Countess\"!");
        let xml = json!({"template": {"text": "<n>{{ traits.name }}</n>", "content": "xml"}});
        assert_eq!(fill(xml, &event).unwrap(), "<n>Ada &quot;Countess&quot;</n>");
        let form = json!({"template": {"text": "n={{ traits.name }}&m=1", "content": "form"}});
        assert_eq!(fill(form, &event).unwrap(), "n=Ada%20%22Countess%22&m=1");
        let mapping = json!({"mapping": {"kind": {"@path": "$.type"}, "fixed": 1}});
        assert_eq!(fill(mapping, &event).unwrap(), r#"{"kind":"pass.installed","fixed":1}"#);
        let code: Payload = serde_json::from_value(json!({"transformation": "mine"})).unwrap();
        assert!(Body::compile(&code).unwrap().is_none());
    }

    #[test]
    fn mistakes_name_their_place() {
        let event = json!({"a": "x"});
        let table = [
            (json!({"template": {"text": "a\n{{ a | shout }}"}}), "template.text: line 2"),
            (json!({"template": {"text": r#"{"a": {{ a }}}"#}}), "it makes no JSON of this event"),
            (json!({"mapping": {"b": {"@nope": 1}}}), "mapping.b"),
            (json!({"mapping": {"@path": "$.b"}}), "nothing of what it names"),
        ];
        for (payload, part) in table {
            let said = fill(payload.clone(), &event).unwrap_err();
            assert!(said.contains(part), "{payload}: {said}");
        }
    }
}
