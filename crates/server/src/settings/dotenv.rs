//! Reads `.env`.
//!
//! More forgiving than the usual readers, as lists of keys are pasted there: a value may hold spaces and quotes,
//! and nothing is substituted, so that `$` is safe in a key. Errors name a line and never show it.

/// The variables of a file, in its order; of two with the same name, the later is meant to win.
///
/// # Errors
/// A line that is no `NAME=VALUE`, or a quote without an end, in words without the content.
pub(crate) fn parse(text: &str) -> Result<Vec<(&str, String)>, String> {
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate();
    let mut variables = Vec::new();
    while let Some((index, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            assignment(line).ok_or_else(|| format!("line {} is not of the form NAME=VALUE", index + 1))?;
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(value, quote, lines.by_ref().map(|(_, line)| line))
                .ok_or_else(|| format!("the quote that line {} opens is never closed", index + 1))?,
            _ => without_comment(value).to_owned(),
        };
        variables.push((name, value));
    }
    Ok(variables)
}

/// The line on which a variable is set last, counted from 1.
pub(super) fn line_of(text: &str, name: &str) -> Option<usize> {
    let mut lines = text.lines().map(|line| line.trim_start_matches('\u{feff}').trim());
    let at = lines.clone().rev().position(|line| assignment(line).is_some_and(|(set, _)| set == name));
    at.map(|from_end| lines.by_ref().count() - from_end)
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| (name, value.trim_start()))
}

/// A value that begins with a quote and may go on over further lines. None where the quote is never closed.
fn quoted<'a>(first: &str, quote: char, mut further: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut text = first.to_owned();
    let mut searched = quote.len_utf8();
    let end = loop {
        match closing(&text[searched..], quote) {
            Some(at) => break searched + at,
            None => {
                text.push('\n');
                searched = text.len();
                text.push_str(further.next()?);
            }
        }
    };
    let after = text[end + quote.len_utf8()..].trim_start();
    if !after.is_empty() && !after.starts_with('#') {
        // `"a","b"` is a list of quoted values, not a quoted value.
        return Some(without_comment(&text).to_owned());
    }
    let inner = &text[quote.len_utf8()..end];
    Some(if quote == '"' { unescaped(inner) } else { inner.to_owned() })
}

/// Where the quote closes; in double quotes, a backslash takes the meaning from the character after it.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return Some(at);
        }
        escaped = quote == '"' && c == '\\' && !escaped;
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some(next @ ('n' | 'r' | 't' | '"' | '\\'))) => {
                chars.next();
                plain.push(match next {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                });
            }
            _ => plain.push(c),
        }
    }
    plain
}

/// A bare value without its comment: `#` after white space, as `#` may be in a value.
fn without_comment(value: &str) -> &str {
    let comment = value
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| value[..*at].chars().next_back().is_none_or(char::is_whitespace));
    comment.map_or(value, |at| &value[..at]).trim_end()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let variables = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(variables, expected, "{text:?}");
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        check("", &[]);
        check("# only\n\n  # comments\n", &[]);
        check("A=1\nB=2", &[("A", "1"), ("B", "2")]);
        check("\u{feff}A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")]);
        check("export A = 1 # one\n", &[("A", "1")]);
        check("A=\nB= # nothing\n", &[("A", ""), ("B", "")]);
        check("A=k1, k2,k3 # three\n", &[("A", "k1, k2,k3")]);
        check("A=a=b;c=d\n", &[("A", "a=b;c=d")]);
        check("A=$HOME#1\n", &[("A", "$HOME#1")]);
        check("A=\"b # c\" # d\n", &[("A", "b # c")]);
        check("A='b\"\\n' \n", &[("A", "b\"\\n")]);
        check("A=\"b\\\"c\\n\\$\\\\\"\n", &[("A", "b\"c\n\\$\\")]);
        check("A=\"k1,\nk2\n\nk3\"\nB=1\n", &[("A", "k1,\nk2\n\nk3"), ("B", "1")]);
        check("A=\"k1\", \"k2\" # two\n", &[("A", "\"k1\", \"k2\"")]);
        check("A=[\"k1\",\"k2\"]\n", &[("A", "[\"k1\",\"k2\"]")]);
        check("A=“k1”，k2\n", &[("A", "“k1”，k2")]);
        check("A=1\nA=2\n", &[("A", "1"), ("A", "2")]);
    }

    #[test]
    fn errors_name_the_line_and_hide_it() {
        let check = |text: &str, expected: &str| assert_eq!(parse(text).expect_err(text), expected);
        check("A=1\n\nsecret\n", "line 3 is not of the form NAME=VALUE");
        check("se cret=1\n", "line 1 is not of the form NAME=VALUE");
        check("=1\n", "line 1 is not of the form NAME=VALUE");
        check("1A=1\n", "line 1 is not of the form NAME=VALUE");
        check("A=\"b\nc\"\nB='secret\nC=1", "the quote that line 3 opens is never closed");
        check("A=\"b\\\"\n", "the quote that line 1 opens is never closed");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A-Z]?=?([ \"'\\\\#\n=aé“])*") {
            let _ = parse(&text);
        }
    }
}
