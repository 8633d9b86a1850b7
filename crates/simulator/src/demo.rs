//! A pool to show failing over with: 12 keys in 5 projects, of which not all are well.

use crate::config::{Config, Key, Project};
use crate::fault::{Condition, Fault};
use crate::quota::Limits;

/// The keys with their projects' names, in the order in which they are shown.
const KEYS: &[(&str, &[(&str, Condition)])] = &[
    (
        "demo-one",
        &[
            ("demo-key-01", Condition::Healthy),
            ("demo-key-02", Condition::Healthy),
            ("demo-key-03-leaked", Condition::Faulty(Fault::Leaked)),
        ],
    ),
    ("demo-two", &[("demo-key-04", Condition::Healthy), ("demo-key-05", Condition::Healthy)]),
    (
        "demo-three",
        &[
            ("demo-key-06", Condition::Healthy),
            ("demo-key-07", Condition::Healthy),
            ("demo-key-08-invalid", Condition::Faulty(Fault::Invalid)),
        ],
    ),
    ("demo-four", &[("demo-key-09", Condition::Healthy), ("demo-key-10", Condition::Healthy)]),
    (EXHAUSTED, &[("demo-key-11-used-up", Condition::Healthy), ("demo-key-12-used-up", Condition::Healthy)]),
];

/// The project that has nothing left today.
const EXHAUSTED: &str = "demo-five-used-up";

/// The free tier's size: a person at a keyboard sees keys take turns, and now and then one rest.
const LIMITS: Limits = Limits {
    requests_per_minute: Some(15),
    input_tokens_per_minute: Some(250_000),
    requests_per_day: Some(1_000),
};

/// The demo pool.
pub fn config() -> Config {
    let projects = KEYS.iter().map(|(name, keys)| {
        let condition =
            if *name == EXHAUSTED { Condition::Faulty(Fault::DayLimit) } else { Condition::Healthy };
        let keys = keys.iter().map(|(key, condition)| Key::new(*key, *condition)).collect();
        Project { name: (*name).to_owned(), limits: LIMITS, condition, keys, ..Project::default() }
    });
    Config { projects: projects.collect(), ..Config::default() }
}

/// The keys of the demo pool.
pub fn keys() -> Vec<&'static str> {
    KEYS.iter().flat_map(|(_, keys)| keys.iter().map(|(key, _)| *key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_keys_in_five_projects() {
        let config = config();
        assert_eq!(config.projects.len(), 5);
        assert_eq!(config.projects.iter().map(|project| project.keys.len()).sum::<usize>(), 12);
        assert_eq!(keys().len(), 12);
    }
}
