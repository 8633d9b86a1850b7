//! Which keys share a project, found out with certainty: a file that one key uploads can be seen with all keys of its
//! project, and with no others.
//!
//! It writes into the users' projects (a few bytes of text, deleted at the end; Google itself deletes files after two
//! days), so it is off unless somebody asks for it. It uses no quota of any model. A key is asked once for each project
//! that it may belong to, and no more; of keys that are known to share one, one is asked for all.
//!
//! A state machine without input or output: send what [`next`](ProjectProbe::next) gives, tell
//! [`heard`](ProjectProbe::heard) the answer, until there is nothing more to ask. Whatever happens, the files go at the
//! end.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use serde::Deserialize;

use crate::check::CheckAnswer;
use crate::secret::ApiKey;
use crate::upstream;

/// So many projects can be told apart at most: with each more, every further key is asked once more.
pub const MOST_PROJECTS: usize = 256;

const BOUNDARY: &str = "libra-project-probe";
const UPLOAD: &str = "--libra-project-probe\r\ncontent-type: application/json\r\n\r\n\
     {\"file\":{\"displayName\":\"libra project probe\"}}\r\n\
     --libra-project-probe\r\ncontent-type: text/plain\r\n\r\nlibra\r\n--libra-project-probe--\r\n";

/// The longest name of a file. Google's have some 12 letters.
const LONGEST_NAME: usize = 64;

/// The probe of a pool.
#[derive(Debug)]
pub struct ProjectProbe {
    /// Keys that are known to share a project; the first that works speaks for all.
    entries: Vec<Vec<ApiKey>>,
    found: Vec<Found>,
    /// Entries of which nothing could be found out.
    unclear: Vec<usize>,
    step: Step,
    /// Requests so far.
    sent: usize,
}

/// A project that was found.
#[derive(Debug)]
struct Found {
    entries: Vec<usize>,
    /// The file in it, by the last part of its name.
    file: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Whether this entry sees the file of this project.
    Look {
        entry: usize,
        project: usize,
    },
    /// This entry sees none of the files: it gets one of its own.
    Upload {
        entry: usize,
    },
    /// The file of this project goes.
    Delete {
        project: usize,
    },
    Over,
}

/// Which entries share a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relations {
    /// The entries of each project, by their places.
    pub projects: Vec<Vec<usize>>,
    /// Entries of which nothing could be found out: each may be a project of its own or not.
    pub unclear: Vec<usize>,
}

impl Relations {
    /// Whether the project of every key is known.
    pub fn is_certain(&self) -> bool {
        self.unclear.is_empty()
    }
}

/// How many requests a probe of so many entries makes at most.
pub const fn most_requests(entries: usize) -> usize {
    let told_apart = if entries < MOST_PROJECTS { entries } else { MOST_PROJECTS };
    // Each project has a file that comes and goes; each entry looks for the files before it.
    2 * told_apart + told_apart * told_apart.saturating_sub(1) / 2 + (entries - told_apart) * told_apart
}

impl ProjectProbe {
    /// The probe of these keys. Each entry is a key, or keys that are known to share a project.
    pub fn new(entries: Vec<Vec<ApiKey>>) -> Self {
        let mut probe = Self { entries, found: Vec::new(), unclear: Vec::new(), step: Step::Over, sent: 0 };
        probe.go_to(0);
        probe
    }

    /// The next request to send; none when all is known and nothing is left behind.
    pub fn next(&self, origin: &Uri) -> Option<Request<Option<Bytes>>> {
        let key = |entry: usize| self.entries[entry].first();
        let (method, path, key, body) = match self.step {
            Step::Look { entry, project } => (Method::GET, self.path_of(project), key(entry)?, Bytes::new()),
            Step::Upload { entry } => {
                let path = "/upload/v1beta/files?uploadType=multipart".to_owned();
                (Method::POST, path, key(entry)?, Bytes::from_static(UPLOAD.as_bytes()))
            }
            Step::Delete { project } => {
                (Method::DELETE, self.path_of(project), key(self.found[project].entries[0])?, Bytes::new())
            }
            Step::Over => return None,
        };
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            let related = format!("multipart/related; boundary={BOUNDARY}");
            headers.insert(CONTENT_TYPE, HeaderValue::try_from(related).ok()?);
            headers.insert(PROTOCOL, HeaderValue::from_static("multipart"));
        }
        Some(upstream::to_gemini(origin, method, &path, headers, key, Some(body)))
    }

    fn path_of(&self, project: usize) -> String {
        format!("/v1beta/files/{}", self.found[project].file)
    }

    /// Takes in the answer to the last request.
    pub fn heard(&mut self, answer: &CheckAnswer) {
        self.sent += 1;
        match self.step {
            Step::Look { entry, project } => match answer {
                Ok((StatusCode::OK, ..)) => {
                    self.found[project].entries.push(entry);
                    self.go_to(entry + 1);
                }
                Ok((status, _, body)) if is_foreign(*status, body) => self.look(entry, project + 1),
                // Neither yes nor no: a dead key, a limit, a lost connection.
                _ => self.give_up(entry),
            },
            Step::Upload { entry } => match answer {
                Ok((StatusCode::OK, _, body)) => match name_of(body) {
                    Some(file) => {
                        self.found.push(Found { entries: vec![entry], file });
                        self.go_to(entry + 1);
                    }
                    None => self.give_up(entry),
                },
                _ => self.give_up(entry),
            },
            // A file that does not go now goes in two days.
            Step::Delete { project } => self.clean_up(project + 1),
            Step::Over => {}
        }
    }

    /// Asks nothing more, and only takes the files away.
    pub fn stop(&mut self) {
        let entry = match self.step {
            Step::Look { entry, .. } | Step::Upload { entry } => entry,
            Step::Delete { .. } | Step::Over => return,
        };
        self.unclear.extend(entry..self.entries.len());
        self.clean_up(0);
    }

    /// How many entries are known, and how many requests that took.
    pub fn progress(&self) -> (usize, usize) {
        let known: usize = self.found.iter().map(|found| found.entries.len()).sum();
        (known + self.unclear.len(), self.sent)
    }

    /// What was found.
    pub fn relations(self) -> Relations {
        let projects = self.found.into_iter().map(|found| found.entries).collect();
        Relations { projects, unclear: self.unclear }
    }

    fn go_to(&mut self, entry: usize) {
        match self.entries.get(entry) {
            None => self.clean_up(0),
            Some(keys) if keys.is_empty() => self.give_up(entry),
            Some(_) => self.look(entry, 0),
        }
    }

    fn look(&mut self, entry: usize, project: usize) {
        if project < self.found.len() {
            self.step = Step::Look { entry, project };
        } else if project < MOST_PROJECTS {
            self.step = Step::Upload { entry };
        } else {
            self.give_up(entry);
        }
    }

    fn give_up(&mut self, entry: usize) {
        self.unclear.push(entry);
        self.go_to(entry + 1);
    }

    fn clean_up(&mut self, project: usize) {
        self.step = if project < self.found.len() { Step::Delete { project } } else { Step::Over };
    }
}

const PROTOCOL: HeaderName = HeaderName::from_static("x-goog-upload-protocol");

/// Whether Google says that the file is another project's. A key that may not do anything is refused in other words.
fn is_foreign(status: StatusCode, body: &[u8]) -> bool {
    let says = |words: &str| memchr::memmem::find(body, words.as_bytes()).is_some();
    status == StatusCode::NOT_FOUND
        || (status == StatusCode::FORBIDDEN && says("permission to access the File") && says("may not exist"))
}

/// The last part of an uploaded file's name. It becomes a part of a path, so it has to look like one.
fn name_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Uploaded {
        file: File,
    }
    #[derive(Deserialize)]
    struct File {
        name: String,
    }
    let name = serde_json::from_slice::<Uploaded>(body).ok()?.file.name;
    let name = name.strip_prefix("files/")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (!name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fits)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const FOREIGN: &str = r#"{"error":{"code":403,"message":"You do not have permission to access the File x or it may not exist.","status":"PERMISSION_DENIED"}}"#;

    /// A Google in which a key's first letter is its project; keys that end with `!` are refused everything.
    #[derive(Default)]
    struct Google {
        files: BTreeMap<String, char>,
        uploads: usize,
        looks: Vec<(String, String)>,
    }

    impl Google {
        fn answer(&mut self, request: &Request<Option<Bytes>>) -> CheckAnswer {
            let key = request.headers()["x-goog-api-key"].to_str().expect("ASCII").to_owned();
            let answer = |status: StatusCode, body: String| Ok((status, HeaderMap::new(), Bytes::from(body)));
            if key.ends_with('!') {
                return answer(StatusCode::FORBIDDEN, r#"{"error":{"message":"leaked"}}"#.to_owned());
            }
            let project = key.chars().next().expect("a key");
            let file = request.uri().path().rsplit('/').next().expect("a path").to_owned();
            match *request.method() {
                Method::POST => {
                    self.uploads += 1;
                    let name = format!("f{}", self.uploads);
                    self.files.insert(name.clone(), project);
                    answer(
                        StatusCode::OK,
                        format!(r#"{{"file":{{"name":"files/{name}","state":"ACTIVE"}}}}"#),
                    )
                }
                Method::GET => {
                    let look = (file.clone(), key);
                    assert!(!self.looks.contains(&look), "asked twice");
                    self.looks.push(look);
                    match self.files.get(&file) {
                        Some(owner) if *owner == project => answer(StatusCode::OK, "{}".to_owned()),
                        _ => answer(StatusCode::FORBIDDEN, FOREIGN.to_owned()),
                    }
                }
                _ => {
                    assert_eq!(self.files.remove(&file), Some(project), "the owner deletes");
                    answer(StatusCode::OK, "{}".to_owned())
                }
            }
        }
    }

    /// What a probe of these entries (keys that belong together are joined by `+`) finds, and what it asked.
    fn run(entries: &[&str]) -> (String, Google, usize) {
        let keys = |entry: &&str| entry.split('+').map(ApiKey::new).collect();
        let mut probe = ProjectProbe::new(entries.iter().map(keys).collect());
        let mut google = Google::default();
        let origin: Uri = "http://127.0.0.1".parse().expect("an address");
        let mut sent = 0;
        while let Some(request) = probe.next(&origin) {
            probe.heard(&google.answer(&request));
            sent += 1;
            assert_eq!(probe.progress().1, sent);
        }
        assert!(google.files.is_empty(), "nothing is left behind");
        assert!(sent <= most_requests(entries.len()), "{sent}");
        let relations = probe.relations();
        let name = |places: &Vec<usize>| places.iter().map(|at| entries[*at]).collect::<Vec<_>>().join("=");
        let mut found: Vec<String> = relations.projects.iter().map(name).collect();
        if !relations.is_certain() {
            found.push(format!("?{}", name(&relations.unclear)));
        }
        (found.join(" "), google, sent)
    }

    #[test]
    fn keys_of_a_project_see_each_others_files() {
        let check = |entries: &[&str], expected: &str, most: usize| {
            let (found, _, sent) = run(entries);
            assert_eq!(found, expected);
            assert!(sent <= most, "{entries:?}: {sent}");
        };
        check(&[], "", 0);
        check(&["a1"], "a1", 2);
        check(&["a1", "a2", "a3"], "a1=a2=a3", 4);
        check(&["a1", "b1", "a2", "c1", "b2"], "a1=a2 b1=b2 c1", 14);
        check(&["a1", "a2!", "b1", "a3"], "a1=a3 b1 ?a2!", 8);
        check(&["a1!", "b1", "b2"], "b1=b2 ?a1!", 4);
        check(&["a1+a2", "b1", "a3"], "a1+a2=a3 b1", 7);
    }

    #[test]
    fn who_stops_leaves_nothing_behind() {
        let entries = ["a1", "b1", "c1"].map(|key| vec![ApiKey::new(key)]).to_vec();
        let mut probe = ProjectProbe::new(entries);
        let mut google = Google::default();
        let origin: Uri = "http://127.0.0.1".parse().expect("an address");
        for _ in 0..3 {
            let request = probe.next(&origin).expect("there is more to ask");
            probe.heard(&google.answer(&request));
        }
        assert_eq!(google.files.len(), 2);
        probe.stop();
        while let Some(request) = probe.next(&origin) {
            assert_eq!(request.method(), Method::DELETE);
            probe.heard(&google.answer(&request));
        }
        assert!(google.files.is_empty());
        assert_eq!(probe.relations(), Relations { projects: vec![vec![0], vec![1]], unclear: vec![2] });
    }

    #[test]
    fn what_is_neither_yes_nor_no_is_unclear() {
        let check = |answers: Vec<CheckAnswer>, expected: &[usize]| {
            let entries = ["a", "b"].map(|key| vec![ApiKey::new(key)]).to_vec();
            let mut probe = ProjectProbe::new(entries);
            answers.iter().for_each(|answer| probe.heard(answer));
            assert_eq!(probe.relations().unclear, expected);
        };
        let answer = |status: u16, body: &'static str| -> CheckAnswer {
            Ok((
                StatusCode::from_u16(status).expect("a status"),
                HeaderMap::new(),
                Bytes::from_static(body.as_bytes()),
            ))
        };
        let uploaded = || answer(200, r#"{"file":{"name":"files/x"}}"#);
        check(vec![uploaded(), answer(429, "")], &[1]);
        check(vec![uploaded(), Err("no connection".to_owned())], &[1]);
        check(vec![uploaded(), answer(403, r#"{"error":{"message":"leaked"}}"#)], &[1]);
        for name in ["files/../models", "files/", "x", "files/a?b", "files/a/b"] {
            let body = format!(r#"{{"file":{{"name":"{name}"}}}}"#);
            check(vec![Ok((StatusCode::OK, HeaderMap::new(), body.into())), uploaded()], &[0]);
        }
        check(vec![answer(200, "{"), uploaded()], &[0]);
    }
}
