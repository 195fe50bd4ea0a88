//! Texts with placeholders that would grow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use script::text::{Size, Text};
use serde_json::json;

/// What is made on the way to a result that is too long, or that is short again.
#[test]
fn values_on_the_way_are_bounded() {
    let event = json!({"s": "x".repeat(500_000), "n": 100_000_000, "list": ["a", "b"]});
    let many = |part: &str, count| vec![part; count].join(",");
    let table = [
        ("{{ ('x' * 100000000) | length }}".to_owned(), "`*` takes numbers"),
        ("{{ (('x' * 1e8) ~ ('x' * 1e8)) | length }}".to_owned(), "`*` takes numbers"),
        ("{{ (n * 'x') | length }}".to_owned(), "`*` takes numbers"),
        ("{{ (list * n) | length }}".to_owned(), "`*` takes numbers"),
        ("{{ ('-' * 1000 * 100000) | length }}".to_owned(), "`*` takes numbers"),
        ("{% for a in [s ~ s ~ s] %}{% for b in [a ~ a] %}{{ b | length }}{% endfor %}{% endfor %}".to_owned(), "1 MiB"),
        (format!("{{{{ [{}] | join | length }}}}", many("s", 1_000)), "1 MiB"),
        (format!("{{{{ [{}] | join(s) | length }}}}", many("1", 1_000)), "1 MiB"),
        (format!("{{{{ ([{}] ~ '') | length }}}}", many("s", 1_000)), "1 MiB"),
        (format!("{{{{ [{}] | tojson | length }}}}", many("s", 1_000)), "1 MiB"),
        (format!("{{{{ {{'a': [{}]}} | upper | length }}}}", many("s", 1_000)), "1 MiB"),
        (format!("{{{{ [{}] in 'x' }}}}", many("s", 1_000)), "1 MiB"),
        (format!("{{{{ [{}] }}}}", many("s", 1_000)), "1 MiB"),
        ("{{ list | tojson(100000000) }}".to_owned(), "at most 8"),
        ("{{ list | tojson(indent=100000000) }}".to_owned(), "at most 8"),
    ];
    for (text, part) in table {
        let problem = Text::compile(&text, Size::MESSAGE).unwrap().render(&event).expect_err(&text);
        assert!(problem.contains(part), "{text}: {problem}");
    }
    let right = [
        ("{{ (s ~ '!') | length }} {{ s | length }}", "500001 500000"),
        ("{{ '-' * 12 }}{{ 3 * '=' }}", "------------==="),
        ("{{ 2 * 3 + 4 * -5 }} {{ 2 ** 3 * 2 }} {{ 7 * n }}", "-14 16 700000000"),
        ("{{ list | join(sep) }} {{ list | tojson(indent=2) | length }}", "ab 16"),
        ("{{ 'a' in list }} {{ 'c' not in list }} {{ 'x' in s }}", "true true true"),
    ];
    for (text, expected) in right {
        assert_eq!(Text::compile(text, Size::MESSAGE).unwrap().render(&event).as_deref(), Ok(expected), "{text}");
    }
}
