//! Text → tokens with their places.

/// One token of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A field path, a function name or a bare word; `escaped` when a backslash was used, so it is no keyword.
    Word {
        text: String,
        escaped: bool,
    },
    /// A quoted text, without its quotes.
    Text(String),
    /// A number.
    Number(serde_json::Number),
    /// `=`, `!=`, `<`, `<=`, `>` or `>=`.
    Compare(&'static str),
    Not,
    Open,
    Close,
    ListOpen,
    ListClose,
    Comma,
    End,
}

impl Token {
    /// How the token reads in a message.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word { text, .. } => format!("`{}`", crate::problem::clip(text, 40)),
            Self::Text(text) => format!("the text \"{}\"", crate::problem::clip(text, 40)),
            Self::Number(number) => format!("the number {number}"),
            Self::Compare(symbol) => format!("`{symbol}`"),
            Self::Not => "`!`".to_owned(),
            Self::Open => "`(`".to_owned(),
            Self::Close => "`)`".to_owned(),
            Self::ListOpen => "`[`".to_owned(),
            Self::ListClose => "`]`".to_owned(),
            Self::Comma => "`,`".to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}

/// A token and the byte offset of its first character.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) offset: usize,
}

/// A character that no token can hold, and where it stands.
pub(super) struct LexError {
    pub(super) offset: usize,
    pub(super) message: String,
}

/// Splits the text; the last token is always [`Token::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Placed>, LexError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (token, length) = match c {
            '"' | '\'' => quoted(rest, c),
            '=' | '!' | '<' | '>' => operator(rest),
            '(' => Ok((Token::Open, 1)),
            ')' => Ok((Token::Close, 1)),
            '[' => Ok((Token::ListOpen, 1)),
            ']' => Ok((Token::ListClose, 1)),
            ',' => Ok((Token::Comma, 1)),
            '0'..='9' | '-' | '+' => number(rest),
            c if starts_word(c) => word(rest),
            '&' | '|' => Err((0, format!("write `and` or `or` instead of `{c}`"))),
            c => Err((
                0,
                format!("`{c}` has no meaning here; put texts in quotes, and a backslash before odd characters of a field name"),
            )),
        }
        .map_err(|(offset, message)| LexError { offset: at + offset, message })?;
        tokens.push(Placed { token, offset: at });
        at += length;
    }
    tokens.push(Placed { token: Token::End, offset: text.len() });
    Ok(tokens)
}

type Lexed = Result<(Token, usize), (usize, String)>;

fn quoted(rest: &str, quote: char) -> Lexed {
    let body = &rest[1..];
    match body.find(quote) {
        Some(end) => Ok((Token::Text(body[..end].to_owned()), end + 2)),
        None => Err((0, format!("this text has no closing {quote}"))),
    }
}

fn operator(rest: &str) -> Lexed {
    for wrong in ["==", "=<", "=>", "<>", "!=="] {
        if rest.starts_with(wrong) {
            let right = match wrong {
                "==" => "=",
                "=<" => "<=",
                "=>" => ">=",
                _ => "!=",
            };
            return Err((0, format!("write `{right}` instead of `{wrong}`")));
        }
    }
    let symbol = ["!=", "<=", ">=", "=", "<", ">"].into_iter().find(|symbol| rest.starts_with(symbol));
    Ok(symbol.map_or((Token::Not, 1), |symbol| (Token::Compare(symbol), symbol.len())))
}

fn number(rest: &str) -> Lexed {
    let end = rest
        .char_indices()
        .find(|&(at, c)| {
            let sign = matches!(c, '-' | '+') && (at == 0 || rest[..at].ends_with(['e', 'E']));
            !(c.is_ascii_alphanumeric() || c == '.' || sign)
        })
        .map_or(rest.len(), |(at, _)| at);
    let text = &rest[..end];
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && !digits.ends_with('.')
        && !digits.contains(".e")
        && !digits.contains(".E");
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let whole = unsigned.parse::<i64>().ok().filter(|_| plain).map(serde_json::Number::from);
    let number = whole.or_else(|| unsigned.parse::<f64>().ok().filter(|_| plain).and_then(serde_json::Number::from_f64));
    match number {
        Some(number) => Ok((Token::Number(number), end)),
        None => Err((0, format!("`{}` is not a number; texts stand in quotes", crate::problem::clip(text, 40)))),
    }
}

fn starts_word(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '\\' | '$')
}

/// A field path is one word: `context.page.path`, `properties.items[0].sku`, `properties.product\ 1.price`.
fn word(rest: &str) -> Lexed {
    let mut text = String::new();
    let mut escaped = false;
    let mut chars = rest.char_indices().peekable();
    let mut end = rest.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let Some((_, next)) = chars.next() else {
                    return Err((at, "a character is expected after the backslash".to_owned()));
                };
                escaped = true;
                text.push(next);
            }
            '[' => {
                let close = rest[at..].find(']').filter(|close| *close > 1);
                let Some(index) =
                    close.and_then(|close| rest.get(at + 1..at + close)).filter(|i| i.bytes().all(|b| b.is_ascii_digit()))
                else {
                    return Err((at, "an index is written `[0]`".to_owned()));
                };
                text.push('[');
                text.push_str(index);
                text.push(']');
                for _ in 0..=index.len() {
                    chars.next();
                }
            }
            '.' => {
                let continues = chars.peek().is_some_and(|&(_, next)| starts_word(next) || next.is_ascii_digit());
                if !continues {
                    return Err((at, "a field name is expected after the dot".to_owned()));
                }
                text.push('.');
            }
            c if c.is_alphanumeric() || matches!(c, '_' | '-' | '$') => text.push(c),
            _ => {
                end = at;
                break;
            }
        }
    }
    Ok((Token::Word { text, escaped }, end))
}
