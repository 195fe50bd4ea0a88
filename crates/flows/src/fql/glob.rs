//! Glob patterns of `match()`: `*`, `?`, `[abc]`, `[a-z]`, `[!a]`, and a backslash before a character meant literally.

/// A pattern, split into what it asks of each character.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Glob {
    pub(super) items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// Any run of characters, also none.
    Star,
    /// Any one character.
    One,
    /// This character.
    Char(char),
    /// One character in (or, negated, outside) these ranges.
    Class { ranges: Vec<(char, char)>, negated: bool },
}

impl Glob {
    /// Reads a pattern.
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut items = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            items.push(match c {
                '*' if items.last() == Some(&Item::Star) => continue,
                '*' => Item::Star,
                '?' => Item::One,
                '\\' => Item::Char(chars.next().ok_or("the pattern ends with a backslash; write `\\\\` for a backslash")?),
                '[' => class(&mut chars)?,
                c => Item::Char(c),
            });
        }
        Ok(Self { items })
    }

    /// The text, when every item from `from` up to `to` is a plain character.
    pub(super) fn literal(items: &[Item]) -> Option<String> {
        items.iter().map(|item| if let Item::Char(c) = item { Some(*c) } else { None }).collect()
    }

    /// Whether the pattern covers the whole text. Steps: at most pattern × text.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut item) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.items.get(item) {
                Some(Item::Star) => {
                    retry = Some((at, item + 1));
                    item += 1;
                }
                Some(wanted) if wanted.accepts(text[at]) => {
                    at += 1;
                    item += 1;
                }
                _ => {
                    let Some((start, after)) = retry else { return false };
                    retry = Some((start + 1, after));
                    at = start + 1;
                    item = after;
                }
            }
        }
        self.items.iter().skip(item).all(|rest| *rest == Item::Star)
    }
}

impl Item {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::One => true,
            Self::Char(wanted) => *wanted == c,
            Self::Class { ranges, negated } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
        }
    }
}

fn class(chars: &mut std::str::Chars<'_>) -> Result<Item, String> {
    const OPEN: &str = "`[` in the pattern needs a closing `]`; write `\\[` for the character itself";
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut negated = false;
    let mut first = true;
    loop {
        let c = chars.next().ok_or(OPEN)?;
        if first && matches!(c, '!' | '^') {
            negated = true;
            first = false;
            continue;
        }
        first = false;
        let from = match c {
            ']' if ranges.is_empty() => {
                return Err("`[]` in the pattern is empty; put the characters between the brackets".to_owned());
            }
            ']' => return Ok(Item::Class { ranges, negated }),
            '\\' => chars.next().ok_or(OPEN)?,
            c => c,
        };
        let mut ahead = chars.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) if to != ']' => {
                *chars = ahead;
                to
            }
            _ => from,
        };
        if to < from {
            return Err(format!("the range `{from}-{to}` in the pattern runs backwards"));
        }
        ranges.push((from, to));
    }
}

/// The text as a pattern that means just this text.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        let cases = [
            ("a*d", "abcd", true),
            ("*", "", true),
            ("ab", "abc", false),
            ("a??d", "abcd", true),
            ("*d", "abcd", true),
            ("ab\\*d", "ab*d", true),
            ("ab\\*d", "abcd", false),
            ("ab[cC]d", "abCd", true),
            ("ab[a-z]d", "abcd", true),
            ("ab[A-Z]d", "abcd", false),
            ("ab[!A-Z]d", "abcd", true),
            ("*ab*ab*", "xabyabz", true),
            ("*ab*ab", "xabyabz", false),
            ("?", "é", true),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Glob::parse(pattern).unwrap().matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for pattern in ["[", "[a", "[]", "[z-a]", "a\\", "[!", "[\\"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_hostile_pattern_is_quick() {
        let glob = Glob::parse(&"*a".repeat(40)).unwrap();
        assert!(!glob.matches(&"a".repeat(39)));
        assert!(!glob.matches(&format!("{}b", "a".repeat(5_000))));
    }
}
