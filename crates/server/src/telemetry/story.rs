//! How a request went, as a sentence: `request → key-1a2b3c project a (room 12) → 429 quota of the minute, rests 22 s → …`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use libra_core::event::{AttemptResult, Ending, Finished};
use libra_core::gateway::Gateway;

use crate::metrics::Named;

/// Tells stories. Projects are asked for by key.
pub(crate) struct Stories(Arc<Gateway>);

impl Stories {
    pub(super) fn new(gateway: &Arc<Gateway>) -> Self {
        gateway.tell_room();
        Self(Arc::clone(gateway))
    }

    /// The story of a request that has ended.
    pub(super) fn of(&self, end: &Finished) -> String {
        tell(end, |key| self.0.project_name(key))
    }
}

fn tell(end: &Finished, project: impl Fn(libra_core::secret::KeyId) -> Option<String>) -> String {
    let mut story = "request".to_owned();
    let course = &end.course;
    // Writing to a string does not fail.
    if let Some(queued) = course.queued {
        let _ = write!(story, " → queued {}", seconds(queued));
    }
    for attempt in &course.attempts {
        match attempt.key {
            Some(key) => {
                let _ = write!(story, " → {key}");
                if let Some(project) = project(key) {
                    let _ = write!(story, " project {project}");
                }
            }
            None => story.push_str(" → the service that takes over"),
        }
        if let Some(room) = attempt.room {
            let _ = write!(story, " (room {room})");
        }
        match attempt.result {
            AttemptResult::Served => {}
            AttemptResult::Dropped => story.push_str(" → dropped"),
            AttemptResult::Failed { class, status, rests } => {
                story.push_str(" → ");
                if let Some(status) = status {
                    let _ = write!(story, "{} ", status.as_u16());
                }
                let _ = write!(story, "{}", Named(class).to_string().replace('_', " "));
                if let Some(rests) = rests {
                    let _ = write!(story, ", rests {}", seconds(rests));
                }
            }
        }
    }
    if let Some(first_byte) = course.first_byte.filter(|_| course.streams) {
        let _ = write!(story, " → first byte {}", seconds(first_byte));
    }
    let ending = match end.ending {
        Ending::Complete => "done",
        Ending::Refused => "refused",
        Ending::Cut => "cut",
        Ending::ClientLeft => "the client left",
    };
    let _ = write!(story, " → {ending} {}", seconds(end.elapsed));
    if end.ending == Ending::Refused {
        let _ = write!(story, " with {}", end.status.as_u16());
    }
    if let Some(usage) = end.usage {
        let _ = write!(story, ", {} tokens", grouped(usage.total));
    }
    story
}

/// `0.8 s`, `22 s`.
fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.1 => format!("{:.3} s", seconds),
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds => format!("{seconds:.0} s"),
    }
}

/// `1,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use libra_core::error::Dialect;
    use libra_core::event::{Attempt, Course, Usage};
    use libra_core::failure::Class;
    use libra_core::mark::RequestId;
    use libra_core::secret::ApiKey;
    use libra_core::time::Timestamp;

    use super::*;

    #[test]
    fn a_story_reads_from_left_to_right() {
        let [one, two] = ["fixture-key-1", "fixture-key-2"].map(|key| ApiKey::new(key).id());
        let failed = AttemptResult::Failed {
            class: Class::QuotaMinute,
            status: Some(StatusCode::TOO_MANY_REQUESTS),
            rests: Some(Duration::from_secs(22)),
        };
        let attempt = |key, room, result| Attempt {
            key: Some(key),
            room,
            began: Timestamp::EPOCH,
            ended: None,
            result,
        };
        let mut course = Course::default();
        course.streams = true;
        course.first_byte = Some(Duration::from_millis(800));
        course.attempts = vec![attempt(one, Some(12), failed), attempt(two, None, AttemptResult::Served)];
        let end = Finished {
            request: RequestId::new(1),
            client: one,
            dialect: Dialect::OpenAi,
            model: None,
            status: StatusCode::OK,
            ending: Ending::Complete,
            attempts: 2,
            key: Some(two),
            usage: Some(Usage { total: 1204, ..Usage::default() }),
            stand_ins: 0,
            elapsed: Duration::from_millis(3100),
            course,
        };
        let expected = format!(
            "request → {one} project a (room 12) → 429 quota minute, rests 22 s → {two} → first byte 0.8 s \
             → done 3.1 s, 1,204 tokens"
        );
        assert_eq!(tell(&end, |key| (key == one).then(|| "a".to_owned())), expected);
    }

    #[test]
    fn thousands_are_grouped() {
        let check = |number: u64, expected: &str| assert_eq!(grouped(number), expected);
        check(0, "0");
        check(999, "999");
        check(1000, "1,000");
        check(1_234_567, "1,234,567");
    }
}
