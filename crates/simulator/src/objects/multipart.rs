//! Bodies of several parts, `multipart/related`: what a file is called, and the file.

use bytes::Bytes;
use memchr::memmem;

/// A part of a body of several.
pub(super) struct Section {
    pub(super) mime: String,
    pub(super) content: Bytes,
}

/// The parts between the marks of a boundary.
pub(super) fn sections(body: &Bytes, boundary: &str) -> Vec<Section> {
    let mark = format!("--{boundary}");
    let mut places: Vec<usize> = memmem::find_iter(body, &mark).collect();
    // A mark begins a line.
    places.retain(|place| *place == 0 || body[..*place].ends_with(b"\n"));
    let between = places.windows(2).map(|pair| body.slice(pair[0] + mark.len()..pair[1]));
    between
        .filter_map(|section| {
            let (head, skip) = match memmem::find(&section, b"\r\n\r\n") {
                Some(end) => (&section[..end], end + 4),
                None => memmem::find(&section, b"\n\n").map(|end| (&section[..end], end + 2))?,
            };
            let head = String::from_utf8_lossy(head).into_owned();
            let mime = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
                name.trim().eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
            });
            let content = section.slice(skip..);
            let end = content.strip_suffix(b"\r\n").or_else(|| content.strip_suffix(b"\n"));
            let length = end.map_or(content.len(), <[u8]>::len);
            Some(Section { mime: mime.unwrap_or_default(), content: content.slice(..length) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_sections() {
        let check = |body: &'static str, expected: &[(&str, &str)]| {
            let found = sections(&Bytes::from_static(body.as_bytes()), "b");
            let found: Vec<_> = found
                .iter()
                .map(|one| (one.mime.as_str(), std::str::from_utf8(&one.content).unwrap_or_default()))
                .collect();
            assert_eq!(found, expected, "{body}");
        };
        check(
            "--b\r\nContent-Type: a/b\r\n\r\n{}\r\n--b\r\ncontent-type: c/d\r\n\r\none\r\n\r\n two --b\r\n--b--\r\n",
            &[("a/b", "{}"), ("c/d", "one\r\n\r\n two --b")],
        );
        check("--b\nContent-Type: a/b\n\n{}\n--b--", &[("a/b", "{}")]);
        check("--b\r\n\r\n\r\n--b--", &[("", "")]);
        check("nothing", &[]);
    }
}
