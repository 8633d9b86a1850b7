//! Real answers of Google's, where a folder of them lies beside the project.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::fs;

use serde_json::Value;

use crate::golden::value;

/// An answer to a method that generates.
pub struct Recording {
    pub path: String,
    pub body: String,
    /// The events of the body, or the whole answer as the only one.
    pub events: Vec<Value>,
}

/// Checks every good answer. Without the folder this checks nothing, and says so.
pub fn check(check: impl Fn(&Recording)) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus/recorded");
    let Ok(files) = fs::read_dir(folder) else {
        eprintln!("no recordings here, nothing checked");
        return;
    };
    let mut checked = 0;
    for file in files {
        let file = value(&fs::read(file.expect("an entry").path()).expect("a recording"));
        if let Some(recording) = generated(&file) {
            check(&recording);
            checked += 1;
        }
    }
    eprintln!("{checked} recorded answers translated");
    assert!(checked > 0, "the folder is there, but holds no answers");
}

fn generated(file: &Value) -> Option<Recording> {
    let path = file["request"]["path"].as_str().unwrap_or_default();
    let body = file["response"]["body"].as_str().unwrap_or_default();
    let streams = path.ends_with(":streamGenerateContent");
    if file["response"]["status"] != 200 || !(streams || path.ends_with(":generateContent")) {
        return None;
    }
    let events = match body.trim_start().strip_prefix("data:") {
        Some(_) => {
            body.lines().filter_map(|line| Some(value(line.strip_prefix("data:")?.as_bytes()))).collect()
        }
        None if streams => value(body.as_bytes()).as_array().cloned().expect("an array of events"),
        None => vec![value(body.as_bytes())],
    };
    Some(Recording { path: path.to_owned(), body: body.to_owned(), events })
}
