//! Where the place of a problem stands in a YAML text that is laid out in blocks.

use crate::Problem;

/// The problem with its line, when the path leads to a key of the text.
pub(super) fn located(yaml: &str, mut problem: Problem) -> Problem {
    if problem.line.is_none() {
        problem.line = line_of(yaml, &problem.path);
    }
    problem
}

/// One line of a block: how far it is indented and what it says, list dashes counted as indentation.
struct Line<'t> {
    number: usize,
    indent: usize,
    text: &'t str,
    /// Indentation of the dash that starts an item here.
    dash: Option<usize>,
}

fn lines(yaml: &str) -> Vec<Line<'_>> {
    let mut found = Vec::new();
    for (at, raw) in yaml.lines().enumerate() {
        let mut text = raw.trim_start_matches(' ');
        let mut indent = raw.len() - text.len();
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let mut dash = None;
        while let Some(rest) = text.strip_prefix("- ") {
            dash = Some(indent);
            let inner = rest.trim_start_matches(' ');
            indent += text.len() - inner.len();
            text = inner;
        }
        found.push(Line { number: at + 1, indent, text, dash });
    }
    found
}

/// The line of the deepest part of the path that stands in the text.
fn line_of(yaml: &str, path: &str) -> Option<usize> {
    let lines = lines(yaml);
    let mut block = lines.as_slice();
    let mut best = None;
    for part in parts(path) {
        let found = match part {
            Part::Key(key) => member(block, key),
            Part::Index(index) => item(block, index),
        };
        let Some((line, inside)) = found else { break };
        best = Some(line);
        block = inside;
    }
    best
}

enum Part<'p> {
    Key(&'p str),
    Index(usize),
}

fn parts(path: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for piece in path.split(['.', '[']).filter(|piece| !piece.is_empty()) {
        let index = piece.strip_suffix(']').and_then(|digits| digits.parse().ok());
        parts.push(index.map_or_else(|| Part::Key(piece.trim_matches(['"', ']'])), Part::Index));
    }
    parts
}

/// The member `key` of the mapping that starts the block, and the lines below it.
fn member<'b, 't>(block: &'b [Line<'t>], key: &str) -> Option<(usize, &'b [Line<'t>])> {
    let level = block.first()?.indent;
    let named = |line: &Line<'_>| {
        let text = line.text.trim_start_matches(['"', '\'']);
        let rest = text.strip_prefix(key).map(|rest| rest.trim_start_matches(['"', '\'']));
        line.indent == level && rest.is_some_and(|rest| rest.starts_with(':'))
    };
    let at = block.iter().position(named)?;
    let inside = block.get(at + 1..)?;
    // A list may stand as deep as its key.
    let end =
        inside.iter().position(|line| line.indent <= level && line.dash.is_none_or(|dash| dash < level)).unwrap_or(inside.len());
    Some((block.get(at)?.number, inside.get(..end)?))
}

/// Item `index` of the list that starts the block, and its lines.
fn item<'b, 't>(block: &'b [Line<'t>], index: usize) -> Option<(usize, &'b [Line<'t>])> {
    let level = block.first()?.dash?;
    let starts: Vec<usize> = block.iter().enumerate().filter(|(_, line)| line.dash == Some(level)).map(|(at, _)| at).collect();
    let start = *starts.get(index)?;
    let end = starts.get(index + 1).copied().unwrap_or(block.len());
    Some((block.get(start)?.number, block.get(start..end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
# a flow
slug: a
when:
  event: x
  condition: y

steps:
- id: one
  fields:
    points: 1
    \"a b\": 2
-   id: two
    contact:
      email: z
    fields: {inline: 1}
last: 1
";

    #[test]
    fn places_have_lines() {
        let table = [
            ("slug", Some(2)),
            ("when.condition", Some(5)),
            ("when.nope", Some(3)),
            ("steps", Some(7)),
            ("steps[0]", Some(8)),
            ("steps[0].id", Some(8)),
            ("steps[0].fields.points.@path", Some(10)),
            ("steps[0].fields.a b", Some(11)),
            ("steps[1].contact.email", Some(14)),
            ("steps[1].fields.inline", Some(15)),
            ("steps[2]", Some(7)),
            ("last", Some(16)),
            ("nope", None),
            ("", None),
        ];
        for (path, expected) in table {
            assert_eq!(line_of(YAML, path), expected, "{path}");
        }
    }
}
