//! Regular expressions, as `jaq` has them: what its definitions of `test`, `match`, `capture`, `scan`, `split`, `splits`, `sub` and
//! `gsub` rest on.
//!
//! The engine looks at each character once for each state of the expression, and never goes back. How many states that are is
//! bounded, and what a search costs is taken from the program's work: the bytes that it went over, times the size of the
//! expression.

use jaq_core::{Bind, Cv, Exn, Native, ValXs, box_iter::box_once, native::Fun};
use jaq_json::Val;
use regex_bites::{Captures, Match, Regex, RegexBuilder};

use super::{Kind, Meter, fault, words};

/// The longest expression, in bytes.
const MAX_BYTES: usize = 4 * 1024;
/// The most groups of an expression, for each of which every state keeps places.
const MAX_GROUPS: usize = 50;
/// How much memory the states may take, in KiB, from small to large: the first into which an expression fits is its size.
const SIZES: [usize; 4] = [1, 4, 16, 64];
/// What a group that was found costs beside the search: it becomes an object.
const GROUP_COST: usize = 16;

pub(super) fn functions() -> [Fun<Kind>; 3] {
    let two = || [Bind::Var(()), Bind::Var(())].into();
    [
        ("matches", two(), Native::<Kind>::new(|cv| found(cv, false, true))),
        ("split_matches", two(), Native::<Kind>::new(|cv| found(cv, true, true))),
        ("split_", two(), Native::<Kind>::new(|cv| found(cv, true, false))),
    ]
}

fn found(mut cv: Cv<'_, Kind>, between: bool, matches: bool) -> ValXs<'_, Val> {
    let (flags, expression) = (cv.0.pop_var(), cv.0.pop_var());
    let meter = cv.0.data();
    let parts = (|| {
        let search = Search::new(meter, words(&expression)?, words(&flags)?)?;
        search.parts(meter, words(&cv.1)?, between, matches)
    })();
    box_once(parts.map(|parts| parts.into_iter().collect::<Val>()))
}

/// An expression with how it is used.
struct Search {
    expression: Regex,
    /// What a byte costs, in quarters of a step.
    size: usize,
    is_global: bool,
    skips_empty: bool,
}

impl Search {
    fn new<'a>(meter: &Meter<'_>, expression: &str, flags: &str) -> Result<Self, Exn<'a, Val>> {
        if expression.len() > MAX_BYTES {
            return Err(fault("a regular expression has at most 4096 bytes"));
        }
        let known = "gnimslxp";
        if let Some(odd) = flags.chars().find(|flag| !known.contains(*flag)) {
            return Err(fault(format!("invalid regex flag: {odd}")));
        }
        let has = |flag: char| flags.contains(flag);
        meter.spend(expression.len())?;
        let mut last = String::new();
        for size in SIZES {
            meter.spend(size)?;
            let mut builder = RegexBuilder::new(expression);
            builder.case_insensitive(has('i')).multi_line(has('m') || has('p')).dot_matches_new_line(has('s') || has('p'));
            builder.swap_greed(has('l')).ignore_whitespace(has('x')).size_limit(size * 1024);
            match builder.build() {
                Ok(expression) if expression.captures_len() > MAX_GROUPS => {
                    return Err(fault("a regular expression has at most 50 groups"));
                }
                Ok(expression) => {
                    return Ok(Self { expression, size, is_global: has('g'), skips_empty: has('n') });
                }
                Err(why) => last = why.to_string(),
            }
        }
        Err(fault(format!("invalid regex: {last}")))
    }

    /// What was found, and what stands between, in order.
    fn parts<'a>(&self, meter: &Meter<'_>, text: &str, between: bool, matches: bool) -> Result<Vec<Val>, Exn<'a, Val>> {
        let names: Vec<Option<&str>> = self.expression.capture_names().collect();
        let (mut parts, mut left_at, mut at, mut last_end, mut chars) = (Vec::new(), 0, 0, None, Chars::default());
        while at <= text.len() {
            let found = self.expression.captures_at(text, at);
            let whole = found.as_ref().and_then(|found| found.get(0)).map(|whole| whole.range());
            // A match may be known only after all that comes behind it was looked at.
            let rest = text.len() - at;
            let gone = whole.as_ref().map_or(rest, |whole| whole.end - at + rest / 8);
            meter.spend(1 + gone * self.size / 4)?;
            let (Some(found), Some(whole)) = (found, whole) else { break };
            // After an empty match the next begins a character later.
            let step = text[whole.end..].chars().next().map_or(1, char::len_utf8);
            at = if whole.is_empty() { whole.end + step } else { whole.end };
            let repeats = whole.is_empty() && last_end == Some(whole.end);
            last_end = Some(whole.end);
            if !(repeats || self.skips_empty && whole.is_empty()) {
                if between {
                    parts.push(Val::from(text[left_at..whole.start].to_owned()));
                    left_at = whole.end;
                }
                if matches {
                    meter.spend(GROUP_COST * names.len())?;
                    parts.push(groups(&found, &names, text, &mut chars));
                }
                if !self.is_global {
                    break;
                }
            }
        }
        if between {
            parts.push(Val::from(text[left_at..].to_owned()));
        }
        Ok(parts)
    }
}

/// Counts characters up to places that come one after another.
#[derive(Clone, Default)]
struct Chars {
    byte: usize,
    count: usize,
}

impl Chars {
    fn up_to(&mut self, text: &str, byte: usize) -> usize {
        self.count += text[self.byte..byte].chars().count();
        self.byte = byte;
        self.count
    }
}

/// The whole match and its groups; those that took no part are left out.
fn groups(found: &Captures<'_>, names: &[Option<&str>], text: &str, chars: &mut Chars) -> Val {
    if let Some(whole) = found.get(0) {
        chars.up_to(text, whole.start());
    }
    let begin = chars.clone();
    let number = |count: usize| Val::from(isize::try_from(count).unwrap_or(isize::MAX));
    let one = |(group, name): (Option<Match<'_>>, &Option<&str>)| {
        let group = group?;
        // Groups may stand within each other: each is counted from where the whole match begins.
        let offset = begin.clone().up_to(text, group.start());
        let mut members = vec![
            (Val::from("offset".to_owned()), number(offset)),
            (Val::from("length".to_owned()), number(group.as_str().chars().count())),
            (Val::from("string".to_owned()), Val::from(group.as_str().to_owned())),
        ];
        members.extend(name.map(|name| (Val::from("name".to_owned()), Val::from(name.to_owned()))));
        Some(Val::obj(members.into_iter().collect()))
    };
    found.iter().zip(names).filter_map(one).collect()
}
