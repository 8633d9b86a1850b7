//! How values and lists are looked up and taken apart, as people paste them.

use serde_json::Value;
use zeroize::Zeroizing;

use super::ConfigError;

/// The most that a list may hold, in bytes, a file included: 200,000 keys of 160 bytes.
pub const MAX_LIST_BYTES: usize = 32 << 20;

/// The most numbered parts of a list (`NAME_1` to `NAME_100`). Platforms limit a variable to a few kilobytes.
pub const MAX_PARTS: usize = 100;

/// The most that any other value may hold, in bytes. Linux takes 128 KiB in one variable.
const MAX_VALUE_BYTES: usize = 128 << 10;

/// Where values come from.
pub(super) struct Source<'a> {
    pub(super) lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(super) read_file: &'a dyn Fn(&str) -> Result<String, String>,
}

impl Source<'_> {
    /// A value read by `parse`, which says in words what is wrong with it. None where it is not set or blank.
    pub(super) fn value<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        self.value_within(name, MAX_VALUE_BYTES, parse)
    }

    /// [`value`](Self::value), of at most so many bytes.
    pub(super) fn value_within<T>(
        &self,
        name: &str,
        most: usize,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(name, most)? else { return Ok(None) };
        parse(&text).map(Some).map_err(|problem| ConfigError::new(name, problem))
    }

    /// The parts of a list: `NAME`, `NAME_1` to `NAME_100` and the file that `NAME_FILE` names, in this order.
    /// Empty where none is set.
    pub(super) fn parts(&self, name: &str) -> Result<Vec<Part>, ConfigError> {
        let mut parts = Vec::new();
        let names = std::iter::once(name.to_owned()).chain((1..=MAX_PARTS).map(|n| format!("{name}_{n}")));
        for variable in names {
            if let Some(text) = self.text(&variable, MAX_LIST_BYTES)? {
                parts.push(Part { variable, text, is_file: false });
            }
        }
        let variable = format!("{name}_FILE");
        if let Some(path) = self.text(&variable, MAX_VALUE_BYTES)? {
            let text = (self.read_file)(&path).map(Zeroizing::new).map_err(|reason| {
                // The path is not shown: a key may have been put where a path belongs.
                ConfigError::new(&variable, format!("the file that it names cannot be read: {reason}"))
            })?;
            check_length(&variable, &text, MAX_LIST_BYTES)?;
            parts.push(Part { variable, text, is_file: true });
        }
        Ok(parts)
    }

    /// The value without white space and quotes around it. None where nothing else is in it.
    fn text(&self, name: &str, most: usize) -> Result<Option<Zeroizing<String>>, ConfigError> {
        let Some(text) = (self.lookup)(name).map(Zeroizing::new) else { return Ok(None) };
        check_length(name, &text, most)?;
        let bare = text.trim_matches(|c| is_blank(c) || is_quote(c));
        Ok((!bare.is_empty()).then(|| Zeroizing::new(bare.to_owned())))
    }
}

fn check_length(name: &str, text: &str, most: usize) -> Result<(), ConfigError> {
    if text.len() > most {
        return Err(ConfigError::new(name, format!("is longer than {} KiB", most >> 10)));
    }
    Ok(())
}

/// One part of a list.
pub(super) struct Part {
    /// The variable that holds it, or that names its file.
    pub(super) variable: String,
    pub(super) text: Zeroizing<String>,
    pub(super) is_file: bool,
}

impl Part {
    /// Calls `each` with every entry and the number by which a person finds it: the line in a file, else the
    /// how-many-eth entry.
    pub(super) fn entries<E>(&self, mut each: impl FnMut(usize, &str) -> Result<(), E>) -> Result<(), E> {
        if self.is_file {
            for (index, line) in self.text.lines().enumerate() {
                for entry in split(without_comment(line)).iter() {
                    each(index + 1, entry)?;
                }
            }
            return Ok(());
        }
        split(&self.text).iter().enumerate().try_for_each(|(index, entry)| each(index + 1, entry))
    }
}

/// The entries of a JSON array of texts and tables. None for any other text, a JSON array of texts among them,
/// which [`split`] reads.
pub(super) fn tables(text: &str) -> Result<Option<Vec<Value>>, String> {
    // An opening brace after the bracket or after a comma: no key holds one.
    let begins =
        |mark: char| text.split(mark).skip(1).any(|rest| rest.trim_start_matches(is_blank).starts_with('{'));
    if !text.starts_with('[') || !(begins('[') || begins(',')) {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|error| json_error(&error))
}

/// What is wrong with JSON, without showing any of it.
pub(super) fn json_error(error: &serde_json::Error) -> String {
    format!("is not valid JSON (line {}, column {})", error.line(), error.column())
}

/// The entries of a list: a JSON array of strings, or text parted by commas and semicolons (full-width and
/// ideographic ones too) or white space, each with or without quotes. Empty entries are none.
pub(super) fn split(text: &str) -> Entries {
    let text = text.trim_matches(|c| is_blank(c) || is_quote(c));
    let is_array = text.starts_with('[') && text.ends_with(']');
    let array = is_array.then(|| serde_json::from_str::<Vec<String>>(text).ok()).flatten();
    let joined = match array {
        Some(entries) => {
            let entries: Vec<Zeroizing<String>> = entries.into_iter().map(Zeroizing::new).collect();
            let mut joined = Zeroizing::new(String::with_capacity(text.len()));
            for entry in &entries {
                joined.push_str(entry);
                joined.push('\n');
            }
            joined
        }
        // Shells and .env readers take the inner quotes off: `[a,b]` was an array once.
        None if is_array => Zeroizing::new(text[1..text.len() - 1].to_owned()),
        None => Zeroizing::new(text.to_owned()),
    };
    Entries(joined)
}

/// The text of a list whose entries can be walked.
pub(super) struct Entries(Zeroizing<String>);

impl Entries {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(is_separator).map(|entry| entry.trim_matches(is_quote)).filter(|entry| !entry.is_empty())
    }
}

/// A line of a file without its comment: `#` at its start or after white space, as `#` may be in a key.
fn without_comment(line: &str) -> &str {
    let comment = line
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| line[..*at].chars().next_back().is_none_or(char::is_whitespace));
    comment.map_or(line, |at| &line[..at])
}

fn is_separator(c: char) -> bool {
    is_blank(c) || matches!(c, ',' | ';' | '，' | '；' | '、')
}

/// White space, and what looks like none: zero-width characters and the byte order mark ride along from web
/// pages and editors.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// Quotes as keyboards and word processors make them, and the backslash that a shell left before one.
pub(super) fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\\' | '“' | '”' | '„' | '‘' | '’' | '「' | '」')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(split(text).iter().collect::<Vec<_>>(), expected, "{text:?}");
    }

    #[test]
    fn lists_are_read_as_people_paste_them() {
        check("", &[]);
        check(" ,, ;\n", &[]);
        check("a", &["a"]);
        check("a,b", &["a", "b"]);
        check("a, b ,c,", &["a", "b", "c"]);
        check("a，b、c；d;e", &["a", "b", "c", "d", "e"]);
        check("a b\tc\r\nd\n\ne\u{3000}f", &["a", "b", "c", "d", "e", "f"]);
        check("\u{feff}a\u{200b},b", &["a", "b"]);
        check("\"a,b\"", &["a", "b"]);
        check("'a','b'", &["a", "b"]);
        check("\"a\", \"b\"", &["a", "b"]);
        check("“a”，“b”", &["a", "b"]);
        check("[\"a\", \"b\"]", &["a", "b"]);
        check("'[\"a\",\n \"b\"]'", &["a", "b"]);
        check("\"[\\\"a\\\",\\\"b\\\"]\"", &["a", "b"]);
        check("[a,b]", &["a", "b"]);
        check("['a', 'b',]", &["a", "b"]);
        check("[1234]", &["1234"]);
        check("[\"a,b\"]", &["a", "b"]);
        check("[]", &[]);
        check("[", &["["]);
        check("p:a,q:b", &["p:a", "q:b"]);
        check("a#b", &["a#b"]);
    }

    #[test]
    fn comments_end_lines_of_files() {
        let check = |text: &str, expected: &[(usize, &str)]| {
            let text = Zeroizing::new(text.to_owned());
            let part = Part { variable: "X_FILE".to_owned(), text, is_file: true };
            let mut seen = Vec::new();
            let all: Result<(), ()> = part.entries(|line, entry| {
                seen.push((line, entry.to_owned()));
                Ok(())
            });
            all.expect("nothing refuses");
            let seen: Vec<_> = seen.iter().map(|(line, entry)| (*line, entry.as_str())).collect();
            assert_eq!(seen, expected);
        };
        check("a\nb\n", &[(1, "a"), (2, "b")]);
        check("# first\n\na # second\r\n  # third\nb#c\n", &[(3, "a"), (5, "b#c")]);
        check("a,b\n", &[(1, "a"), (1, "b")]);
        check("密钥 # 注\n", &[(1, "密钥")]);
    }
}
