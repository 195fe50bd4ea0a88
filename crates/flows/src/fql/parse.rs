//! Tokens → condition, by recursive descent of bounded depth.

use super::ast::{Condition, Field, Junction, Operator, Scalar};
use super::glob::{self, Glob, Item};
use super::lex::{Placed, Token, lex};
use super::{MAX_COMPARISONS, MAX_DEPTH, MAX_TEXT_BYTES, ParseError};
use script::js;

const FIELDS: &str = "`type`, `event`, `name`, `userId`, `properties.…`, `traits.…` or `context.…`";
const COMPARISONS: &str = "a comparison (`=`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `contains`, `exists` …)";

/// Reads a condition. A single comparison comes as an `and` group of one, as editors expect.
///
/// # Errors
/// The first mistake, with its place and what was expected there.
pub fn parse(text: &str) -> Result<Condition, ParseError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ParseError::at(
            text,
            0,
            format!("a condition has at most {MAX_TEXT_BYTES} bytes, this one has {}", text.len()),
        ));
    }
    let tokens = lex(text).map_err(|error| ParseError::at(text, error.offset, error.message))?;
    let mut parser = Parser { tokens, at: 0, comparisons: 0 };
    let parsed = parser.junction(0).and_then(|condition| {
        let last = parser.peek();
        if last.token == Token::End { Ok(condition) } else { Err(unexpected("`and`, `or` or the end", last)) }
    });
    match parsed {
        Ok(group @ Condition::Group { .. }) => Ok(group),
        Ok(single) => Ok(Condition::Group { operator: Junction::And, children: vec![single] }),
        Err((offset, message)) => Err(ParseError::at(text, offset, message)),
    }
}

/// A mistake: its byte offset and what was expected.
type Mistake = (usize, String);

fn unexpected(expected: &str, found: &Placed) -> Mistake {
    (found.offset, format!("expected {expected}, found {}", found.token.shown()))
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    comparisons: usize,
}

impl Parser {
    fn peek(&self) -> &Placed {
        // The lexer always ends with `End`, and nothing advances past it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Placed {
        let placed = self.peek().clone();
        if placed.token != Token::End {
            self.at += 1;
        }
        placed
    }

    fn expect(&mut self, token: &Token, expected: &str) -> Result<(), Mistake> {
        let found = self.next();
        if found.token == *token { Ok(()) } else { Err(unexpected(expected, &found)) }
    }

    /// The unescaped word under the cursor.
    fn word(&self) -> Option<&str> {
        match &self.peek().token {
            Token::Word { text, escaped: false } => Some(text),
            _ => None,
        }
    }

    fn junction(&mut self, depth: usize) -> Result<Condition, Mistake> {
        if depth > MAX_DEPTH {
            return Err((self.peek().offset, format!("parentheses nest at most {MAX_DEPTH} deep")));
        }
        let mut children = vec![self.unary(depth)?];
        let mut joined: Option<Junction> = None;
        loop {
            let word = match self.word() {
                Some(word) if word.eq_ignore_ascii_case("and") => Junction::And,
                Some(word) if word.eq_ignore_ascii_case("or") => Junction::Or,
                _ => break,
            };
            if joined.is_some_and(|before| before != word) {
                let message = "`and` and `or` stand side by side here: put parentheses around the part that belongs together";
                return Err((self.peek().offset, message.to_owned()));
            }
            joined = Some(word);
            self.next();
            children.push(self.unary(depth)?);
        }
        match (joined, children.pop()) {
            (Some(operator), Some(last)) => {
                children.push(last);
                Ok(Condition::Group { operator, children })
            }
            (_, Some(single)) => Ok(single),
            (_, None) => Err((self.peek().offset, "expected a condition".to_owned())),
        }
    }

    fn unary(&mut self, depth: usize) -> Result<Condition, Mistake> {
        if self.peek().token == Token::Not {
            self.next();
            let whole = self.peek().token == Token::Open;
            let inner = self.primary(depth)?;
            return Ok(if whole { Condition::Group { operator: Junction::Not, children: vec![inner] } } else { negate(inner) });
        }
        self.primary(depth)
    }

    fn primary(&mut self, depth: usize) -> Result<Condition, Mistake> {
        let start = self.next();
        match start.token {
            Token::Open => {
                let inner = self.junction(depth + 1)?;
                self.expect(&Token::Close, "`)`, `and` or `or`")?;
                Ok(inner)
            }
            Token::Not => Err((start.offset, "one `!` is enough".to_owned())),
            Token::Word { ref text, escaped } => {
                if self.peek().token == Token::Open && !escaped {
                    let name = text.clone();
                    return self.function(&name, start.offset);
                }
                if !escaped && matches!(text.as_str(), "true" | "false" | "null") {
                    return self.inclusion(&start);
                }
                let field = field(text, start.offset)?;
                self.comparison(field, text, start.offset)
            }
            Token::Text(_) | Token::Number(_) => self.inclusion(&start),
            _ => Err(unexpected(&format!("a field ({FIELDS}), `contains(…)`, `match(…)`, `!` or `(`"), &start)),
        }
    }

    /// `"gold" in properties.tiers`: the list has that value.
    fn inclusion(&mut self, value: &Placed) -> Result<Condition, Mistake> {
        if self.word() != Some("in") {
            let message = format!("a comparison starts with a field ({FIELDS}), not with {}", value.token.shown());
            return Err((value.offset, message));
        }
        self.next();
        let Some(scalar) = literal(&value.token) else {
            return Err((value.offset, "a text, a number, true or false is expected before `in`".to_owned()));
        };
        let found = self.next();
        match found.token {
            Token::Word { ref text, .. } => {
                let field = field(text, found.offset)?;
                self.compare(found.offset, field, Operator::Includes, Some(scalar))
            }
            _ => Err(unexpected("the field of a list after `in`, such as `properties.tags`", &found)),
        }
    }

    fn function(&mut self, name: &str, offset: usize) -> Result<Condition, Mistake> {
        let (operator, second) = match name {
            "contains" => (Operator::Contains, true),
            "match" => (Operator::Matches, true),
            "exists" => (Operator::Exists, false),
            "length" => return Err((offset, "write `properties.items.length` instead of `length(properties.items)`".to_owned())),
            "lowercase" | "uppercase" | "snakecase" | "kebabcase" | "titlecase" | "typeof" | "bool" | "string" | "number" => {
                return Err((offset, format!("`{name}()` is not supported; compare the field itself, or shape it in a mapping")));
            }
            _ => {
                return Err((
                    offset,
                    format!("`{name}()` is not a function here; there are `contains()`, `match()` and `exists()`"),
                ));
            }
        };
        self.expect(&Token::Open, "`(`")?;
        let first = self.next();
        let field = match &first.token {
            Token::Word { text, .. } => field(text, first.offset)?,
            _ => return Err(unexpected(&format!("a field ({FIELDS}) as first argument of {name}()"), &first)),
        };
        if !second {
            self.expect(&Token::Close, "`)`")?;
            return self.compare(offset, field, operator, None);
        }
        self.expect(&Token::Comma, &format!("`,` and the second argument of {name}()"))?;
        let value = self.next();
        let Some(scalar) = literal(&value.token) else {
            return Err(unexpected(&format!("a text as second argument of {name}()"), &value));
        };
        let wanted = plain(&scalar);
        self.expect(&Token::Close, "`)`")?;
        if operator == Operator::Matches {
            let (operator, text) = pattern(&wanted).map_err(|message| (value.offset, message))?;
            return self.compare(offset, field, operator, Some(Scalar::Text(text)));
        }
        self.compare(offset, field, operator, Some(Scalar::Text(wanted)))
    }

    fn comparison(&mut self, field: Field, shown: &str, offset: usize) -> Result<Condition, Mistake> {
        let operator = match &self.peek().token {
            Token::Compare(symbol) => Operator::from_word(symbol),
            Token::Word { text, escaped: false } if text == "in" => {
                self.next();
                return self.one_of(&field, offset);
            }
            Token::Word { text, escaped: false } if !text.eq_ignore_ascii_case("and") && !text.eq_ignore_ascii_case("or") => {
                let found = Operator::from_word(text).or_else(|| word_operator(text));
                if found.is_none() {
                    return Err(unexpected(&format!("{COMPARISONS} after `{shown}`"), self.peek()));
                }
                found
            }
            _ => None,
        };
        let Some(operator) = operator else {
            let bare = matches!(field, Field::Property(_) | Field::Trait(_) | Field::Context(_));
            let ends = matches!(self.peek().token, Token::End | Token::Close | Token::Word { .. });
            if bare && ends {
                return self.compare(offset, field, Operator::IsTrue, None);
            }
            return Err(unexpected(&format!("{COMPARISONS} after `{shown}`"), self.peek()));
        };
        self.next();
        if !operator.takes_value() {
            return self.compare(offset, field, operator, None);
        }
        let value = self.next();
        let (operator, value) = against(&field, operator, &value)?;
        self.compare(offset, field, operator, value)
    }

    /// `type in ["track", "page"]`: an `or` of equalities, which every editor can show.
    fn one_of(&mut self, field: &Field, offset: usize) -> Result<Condition, Mistake> {
        self.expect(&Token::ListOpen, "a list after `in`, such as `[\"gold\", \"silver\"]`")?;
        let mut children = Vec::new();
        loop {
            let value = self.next();
            if literal(&value.token).is_none() {
                return Err(unexpected("a text, a number, true or false", &value));
            }
            let (operator, value) = against(field, Operator::Equal, &value)?;
            children.push(self.compare(offset, field.clone(), operator, value)?);
            let separator = self.next();
            match separator.token {
                Token::Comma => {}
                Token::ListClose => break,
                _ => return Err(unexpected("`,` or `]`", &separator)),
            }
        }
        match (children.len(), children.pop()) {
            (1, Some(single)) => Ok(single),
            (_, last) => Ok(Condition::Group { operator: Junction::Or, children: children.into_iter().chain(last).collect() }),
        }
    }

    fn compare(&mut self, offset: usize, field: Field, operator: Operator, value: Option<Scalar>) -> Result<Condition, Mistake> {
        self.comparisons += 1;
        if self.comparisons > MAX_COMPARISONS {
            return Err((offset, format!("a condition has at most {MAX_COMPARISONS} comparisons")));
        }
        Ok(Condition::Compare { field, operator, value })
    }
}

fn field(text: &str, offset: usize) -> Result<Field, Mistake> {
    let member = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
    let whole = match text {
        "type" => Some(Field::Type),
        "event" => Some(Field::Event),
        "name" => Some(Field::Name),
        "userId" => Some(Field::UserId),
        _ => None,
    };
    let found = whole
        .or_else(|| member("properties").map(Field::Property))
        .or_else(|| member("traits").map(Field::Trait))
        .or_else(|| member("context").map(Field::Context));
    found.ok_or_else(|| {
        let shown = crate::problem::clip(text, 40);
        let message = match text {
            "properties" | "traits" | "context" => format!("expected a member of `{text}`, such as `{text}.email`"),
            _ => format!("expected a field ({FIELDS}), found `{shown}`"),
        };
        (offset, message)
    })
}

/// Spellings that people carry over from other languages.
fn word_operator(word: &str) -> Option<Operator> {
    match word {
        "startsWith" => Some(Operator::StartsWith),
        "endsWith" => Some(Operator::EndsWith),
        _ => None,
    }
}

/// A literal of the language; a bare word is the text that it spells, as in the original.
fn literal(token: &Token) -> Option<Scalar> {
    match token {
        Token::Text(text) => Some(Scalar::Text(text.clone())),
        Token::Number(number) => Some(Scalar::Number(number.clone())),
        Token::Word { text, escaped: false } if text == "true" || text == "false" => Some(Scalar::Bool(text == "true")),
        Token::Word { text, escaped: false } if text == "null" => None,
        Token::Word { text, .. } if !text.contains(['.', '[']) => Some(Scalar::Text(text.clone())),
        _ => None,
    }
}

fn plain(scalar: &Scalar) -> String {
    js::string(&scalar.to_json())
}

/// The operator and value of the tree for `field operator value` as written.
fn against(field: &Field, operator: Operator, value: &Placed) -> Result<(Operator, Option<Scalar>), Mistake> {
    let member = matches!(field, Field::Property(_) | Field::Trait(_) | Field::Context(_));
    if let Token::Word { text, escaped: false } = &value.token {
        match (text.as_str(), operator) {
            ("null", Operator::Equal) => return Ok((Operator::NotExists, None)),
            ("null", Operator::NotEqual) => return Ok((Operator::Exists, None)),
            ("true", Operator::Equal) if member || *field == Field::UserId => return Ok((Operator::IsTrue, None)),
            ("false", Operator::Equal) if member || *field == Field::UserId => return Ok((Operator::IsFalse, None)),
            ("TRUE" | "FALSE" | "NULL" | "True" | "False" | "Null" | "None" | "nil" | "undefined", _) => {
                return Err((
                    value.offset,
                    format!("write `true`, `false` or `null` in lower case, or put \"{text}\" in quotes"),
                ));
            }
            (word, _) if word.eq_ignore_ascii_case("and") || word.eq_ignore_ascii_case("or") => {
                return Err(unexpected("a value", value));
            }
            _ => {}
        }
    }
    if let Token::Word { text, .. } = &value.token
        && text.contains(['.', '['])
    {
        return Err((value.offset, format!("two fields cannot be compared; put \"{text}\" in quotes if it is a text")));
    }
    let Some(scalar) = literal(&value.token) else {
        return Err(unexpected("a value: a text in quotes, a number, true, false or null", value));
    };
    let operator = match (&scalar, operator) {
        (Scalar::Number(_), Operator::Equal) if member => Operator::NumberEquals,
        (Scalar::Number(_), Operator::NotEqual) if member => Operator::NumberNotEquals,
        (_, operator) => operator,
    };
    if operator.wants_number() && super::eval::number_of(&scalar).is_none() {
        return Err((value.offset, format!("`{}` compares with a number, found {}", operator.word(), value.token.shown())));
    }
    if matches!(operator, Operator::Matches | Operator::NotMatches) {
        Glob::parse(&plain(&scalar)).map_err(|message| (value.offset, message))?;
    }
    let text = !member || matches!(operator, Operator::Contains | Operator::NotContains);
    let scalar = if text { Scalar::Text(plain(&scalar)) } else { scalar };
    Ok((operator, Some(scalar)))
}

/// The simplest operator that means the glob pattern.
fn pattern(text: &str) -> Result<(Operator, String), String> {
    let glob = Glob::parse(text)?;
    let simple = match glob.items.as_slice() {
        [prefix @ .., Item::Star] if Glob::literal(prefix).is_some() => {
            Glob::literal(prefix).map(|text| (Operator::StartsWith, text))
        }
        [Item::Star, suffix @ ..] if Glob::literal(suffix).is_some() => {
            Glob::literal(suffix).map(|text| (Operator::EndsWith, text))
        }
        [Item::Star, middle @ .., Item::Star] => Glob::literal(middle).map(|text| (Operator::Contains, text)),
        _ => None,
    };
    Ok(simple.unwrap_or_else(|| (Operator::Matches, text.to_owned())))
}

/// The opposite, by an operator of the tree where there is one.
fn negate(condition: Condition) -> Condition {
    let opposite = match &condition {
        Condition::Compare { operator, .. } => match operator {
            Operator::Contains => Some(Operator::NotContains),
            Operator::StartsWith => Some(Operator::NotStartsWith),
            Operator::EndsWith => Some(Operator::NotEndsWith),
            Operator::Matches => Some(Operator::NotMatches),
            Operator::Exists => Some(Operator::NotExists),
            Operator::NotExists => Some(Operator::Exists),
            _ => None,
        },
        Condition::Group { .. } => None,
    };
    match (condition, opposite) {
        (Condition::Compare { field, value, .. }, Some(operator)) => Condition::Compare { field, operator, value },
        (condition, _) => Condition::Group { operator: Junction::Not, children: vec![condition] },
    }
}

/// The pattern text that [`pattern`] would turn into this operator and value.
pub(super) fn as_pattern(operator: Operator, text: &str) -> Option<String> {
    let literal = glob::escape(text);
    match operator {
        Operator::StartsWith | Operator::NotStartsWith => Some(format!("{literal}*")),
        Operator::EndsWith | Operator::NotEndsWith => Some(format!("*{literal}")),
        Operator::Matches | Operator::NotMatches => Some(text.to_owned()),
        _ => None,
    }
}
