//! What makes long values of short ones, bounded before it makes them: `minijinja` counts steps, not what a step makes, and lets
//! `*` repeat a text to 100 MB.
//!
//! Its operators cannot be replaced, so guards are written behind their operands: `a ~ b` is read as `a|_bounded ~ b|_bounded`.
//! What one operator makes is then at most as long as its operands may be together, and [`super::Size`] bounds how many there are.

use std::collections::BTreeMap;

use minijinja::{
    Environment, Error, ErrorKind, State, Value,
    machinery::{Span, Token, tokenize},
    syntax::SyntaxConfig,
    value::{Rest, ValueKind, ValueOrKwargs},
};

/// The longest value that a text may make on its way, in bytes, roughly as JSON.
pub(super) const MAX_VALUE: usize = 1024 * 1024;
/// How deep such a value may nest.
const MAX_DEPTH: usize = 200;
/// How far `tojson` may indent.
const MAX_INDENT: i64 = 8;

/// The filter that lets a value pass that is no larger than [`MAX_VALUE`].
const BOUNDED: &str = "_bounded";
/// The filter that lets no text and no list pass.
const FACTOR: &str = "_factor";
/// Filters that make a text of any value.
const WRITING: [&str; 8] = ["upper", "lower", "title", "capitalize", "trim", "url", "join", "tojson"];
const WORDS: [&str; 8] = ["and", "or", "not", "in", "is", "if", "else", "recursive"];

type Tokens<'s> = [(Token<'s>, Span)];

/// The source with guards behind what operators are given.
pub(super) fn guarded(text: &str) -> String {
    let tokens: Vec<(Token<'_>, Span)> = tokenize(text, false, SyntaxConfig::default()).map_while(Result::ok).collect();
    let mut guards: BTreeMap<usize, &str> = BTreeMap::new();
    let mut put = |at: usize, guard| {
        let there = guards.entry(tokens[at].1.end_offset as usize).or_insert(guard);
        *there = if guard == FACTOR { FACTOR } else { there };
    };
    let mut head_of_loop = false;
    for (at, (token, _)) in tokens.iter().enumerate() {
        let guard = match token {
            Token::BlockStart => {
                head_of_loop = matches!(tokens.get(at + 1), Some((Token::Ident("for"), _)));
                continue;
            }
            Token::Ident("in") if std::mem::take(&mut head_of_loop) => continue,
            Token::Ident("in") | Token::Plus | Token::Tilde => BOUNDED,
            Token::Mul if is_short_line(&tokens, at) => continue,
            Token::Mul => FACTOR,
            _ => continue,
        };
        let is_not_in = at > 1 && matches!((&tokens[at - 1].0, token), (Token::Ident("not"), Token::Ident("in")));
        let before = at.checked_sub(if is_not_in { 2 } else { 1 });
        if let Some(before) = before.filter(|before| ends_operand(&tokens, *before)) {
            put(before, guard);
            if let Some(last) = last_of_operand(&tokens, at + 1) {
                put(last, guard);
            }
        }
    }
    let mut out = text.to_owned();
    for (at, guard) in guards.into_iter().rev() {
        out.insert_str(at, &format!("|{guard}"));
    }
    out
}

fn is_word(tokens: &Tokens<'_>, at: usize) -> bool {
    let after_dot = at > 0 && matches!(tokens[at - 1].0, Token::Dot);
    matches!(tokens[at].0, Token::Ident(name) if WORDS.contains(&name)) && !after_dot
}

fn ends_operand(tokens: &Tokens<'_>, at: usize) -> bool {
    match tokens[at].0 {
        Token::Ident(_) => !is_word(tokens, at),
        Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => true,
        Token::ParenClose | Token::BracketClose | Token::BraceClose => true,
        _ => false,
    }
}

/// The last token of the operand, with its filters, that begins at a token.
fn last_of_operand(tokens: &Tokens<'_>, from: usize) -> Option<usize> {
    let (mut depth, mut last) = (0_usize, None);
    for (at, (token, _)) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            Token::Minus if last.is_none() => continue,
            Token::Dot | Token::Pipe => {}
            _ if is_word(tokens, at) => break,
            Token::Ident(_) | Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => {}
            _ => break,
        }
        last = Some(at);
    }
    last
}

/// Whether it is no more than `"-" * 40`, which says itself how long it becomes.
fn is_short_line(tokens: &Tokens<'_>, at: usize) -> bool {
    let token = |at: usize| tokens.get(at).map(|(token, _)| token);
    let alone = |at: Option<usize>| {
        at.and_then(token).is_some_and(|token| matches!(token, Token::VariableStart | Token::VariableEnd | Token::Tilde))
    };
    let length = match (at.checked_sub(1).and_then(token), token(at + 1)) {
        (Some(Token::Str(text)), Some(Token::Int(times))) | (Some(Token::Int(times)), Some(Token::Str(text))) => {
            usize::try_from(*times).ok().and_then(|times| text.len().checked_mul(times))
        }
        _ => None,
    };
    alone(at.checked_sub(2)) && alone(Some(at + 2)) && length.is_some_and(|length| length <= MAX_VALUE)
}

/// Adds the guards, and puts one before each filter that makes a text of any value. All filters are there by now, those that
/// are guarded under their name with a `_` before it.
pub(super) fn add_guards(environment: &mut Environment<'static>) {
    environment.add_filter(BOUNDED, |value: Value| bounded(&value).map(|()| value));
    environment.add_filter(FACTOR, |value: Value| match value.kind() {
        ValueKind::Number | ValueKind::Bool | ValueKind::Undefined | ValueKind::None => Ok(value),
        kind => Err(wrong(format!("`*` takes numbers, found {kind}; only a text like \"-\" * 40 is repeated"))),
    });
    for name in WRITING {
        let original = format!("_{name}");
        environment.add_filter(name, move |state: &mut State<'_, '_>, value: Value, more: Rest<ValueOrKwargs>| {
            let more = more.into_values();
            let most = if name == "tojson" { indented(&value, &more) } else { repeated(&value, &more) };
            most?;
            let given: Vec<Value> = std::iter::once(value).chain(more).collect();
            state.apply_filter(&original, &given)
        });
    }
}

/// Looks at a value that is to be written, or to be made longer.
pub(super) fn bounded(value: &Value) -> Result<(), Error> {
    weigh(value, &mut { MAX_VALUE }, 0, 0)
}

/// The value, and between each two of its items what is given along.
fn repeated(value: &Value, more: &[Value]) -> Result<(), Error> {
    let mut left = MAX_VALUE;
    weigh(value, &mut left, 0, 0)?;
    let mut between = MAX_VALUE;
    more.iter().try_for_each(|it| weigh(it, &mut between, 0, 0))?;
    let items = if more.is_empty() { 0 } else { value.len().unwrap_or(0) };
    take(&mut left, items.saturating_mul(MAX_VALUE - between))
}

/// The value, and blanks before each of its items.
fn indented(value: &Value, more: &[Value]) -> Result<(), Error> {
    let named = |it: &Value| if it.is_kwargs() { it.get_attr("indent").unwrap_or_default() } else { it.clone() };
    let indent = more.iter().map(|it| named(it).as_i64().unwrap_or(0)).max().unwrap_or(0);
    if indent > MAX_INDENT {
        return Err(wrong(format!("`tojson` indents by at most {MAX_INDENT}")));
    }
    weigh(value, &mut { MAX_VALUE }, 0, usize::try_from(indent).unwrap_or(0))
}

fn weigh(value: &Value, left: &mut usize, depth: usize, indent: usize) -> Result<(), Error> {
    take(left, 2 + indent * depth)?;
    if let Some(text) = value.as_str() {
        return take(left, text.len());
    }
    if depth == MAX_DEPTH {
        return Err(wrong(format!("a value in this text nests more than {MAX_DEPTH} deep")));
    }
    match value.kind() {
        ValueKind::Map => value.try_iter()?.try_for_each(|key| {
            weigh(&key, left, depth + 1, 0)?;
            weigh(&value.get_item(&key)?, left, depth + 1, indent)
        }),
        ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.try_for_each(|item| weigh(&item, left, depth + 1, indent)),
        _ => take(left, value.as_bytes().map_or(4, <[u8]>::len)),
    }
}

fn take(left: &mut usize, bytes: usize) -> Result<(), Error> {
    *left = left.checked_sub(bytes).ok_or_else(|| wrong("a value in this text becomes larger than 1 MiB".to_owned()))?;
    Ok(())
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_guarded_and_nothing_else() {
        let table = [
            ("{{ a ~ b }} ~ {# c ~ d #}", "{{ a|_bounded ~ b|_bounded }} ~ {# c ~ d #}"),
            ("{{ a.in ~ b[1 + 2].is | upper }}", "{{ a.in|_bounded ~ b[1|_bounded + 2|_bounded].is | upper|_bounded }}"),
            (
                "{{ 'x~' ~ -(a ~ 'é') if c else 1e+3 }}",
                "{{ 'x~'|_bounded ~ -(a|_bounded ~ 'é'|_bounded)|_bounded if c else 1e+3 }}",
            ),
            ("{{ a ~ b * c == d }}", "{{ a|_bounded ~ b|_factor * c|_factor == d }}"),
            ("{% for a in b if a in c %}{% endfor %}", "{% for a in b if a|_bounded in c|_bounded %}{% endfor %}"),
            ("{{ a not in c }}", "{{ a|_bounded not in c|_bounded }}"),
            ("{{ '-' * 40 }}{{ '-' * 4 * 9 }}", "{{ '-' * 40 }}{{ '-'|_factor * 4|_factor * 9|_factor }}"),
            ("{{ a - -b * -3, [x ~ y, z] }}", "{{ a - -b|_factor * -3|_factor, [x|_bounded ~ y|_bounded, z] }}"),
        ];
        for (text, expected) in table {
            assert_eq!(guarded(text), expected);
        }
    }
}
