//! What becomes of every field of every dialect: a table of cases, each of which is tried, and from which the pages
//! `docs/compatibility.md` and `docs/compatibility.zh-CN.md` are written.
//!
//! The test fails when a case is not true, or when a page is not what the cases say. With `LIBRA_WRITE_DOCS=1` it
//! writes the pages anew, to be read before they are committed, and fails. A dialect adds itself with a module that
//! makes a [`Dialect`], and a line in [`dialects`].

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::case::{Answered, Asked, Dialect, Outcome};

mod case;
mod chat;
mod messages;
mod page;
mod responses;

fn dialects() -> Vec<Dialect> {
    vec![chat::dialect(), responses::dialect(), messages::dialect()]
}

/// Tries a case of a request.
fn check_request(dialect: &Dialect, case: &Asked) {
    let what = format!("{}: {} on {}", dialect.title[0], case.field, case.model);
    let with = (dialect.request)(&dialect.body(&case.body), case.model);
    match (&case.outcome, with) {
        (Outcome::Refused { param }, Err(error)) => {
            assert_eq!(error.param.as_deref(), Some(*param), "{what}: {error}");
        }
        (Outcome::Refused { .. }, Ok(body)) => panic!("{what} is not refused: {body}"),
        (_, Err(error)) => panic!("{what} is refused: {error}"),
        (Outcome::Ignored, Ok(body)) => {
            let without = (dialect.request)(&dialect.body(&json!({})), case.model).expect("a plain request");
            assert_eq!(body, without, "{what} is not ignored");
        }
        (Outcome::Becomes(places), Ok(body)) => {
            for (place, expected) in places {
                let found = body.pointer(place).unwrap_or(&Value::Null);
                assert_eq!(found, expected, "{what}, {place} of {body}");
            }
        }
    }
}

/// Tries a case of an answer.
fn check_answer(dialect: &Dialect, case: &Answered) {
    let answer = (dialect.answer)(&dialect.body(&case.request), &case.native);
    for (place, expected) in &case.becomes {
        let found = answer.pointer(place).unwrap_or(&Value::Null);
        assert_eq!(found, expected, "{}: {}, {place} of {answer}", dialect.title[0], case.field);
    }
}

#[test]
fn every_case_is_true() {
    for dialect in dialects() {
        dialect.requests.iter().for_each(|case| check_request(&dialect, case));
        dialect.answers.iter().for_each(|case| check_answer(&dialect, case));
    }
}

#[test]
fn the_pages_say_what_the_cases_say() {
    let write = std::env::var_os("LIBRA_WRITE_DOCS").is_some();
    for (language, name) in [(0, "compatibility.md"), (1, "compatibility.zh-CN.md")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        let page = page::page(&dialects(), language);
        if write {
            fs::write(&path, page).expect("the page can be written");
        } else {
            let written = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                written == page,
                "docs/{name} is old: run this test with LIBRA_WRITE_DOCS=1, and read the difference"
            );
        }
    }
    assert!(!write, "the pages were written anew");
}
