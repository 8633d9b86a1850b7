//! What was used, by day, client, project and model.

use std::collections::HashMap;

use libra_core::secret::KeyId;

use super::entry::Entry;

/// So many counters are added up at once; beyond, a request is counted under no client, key and model. There are as many
/// as clients times keys times models that were met since the last batch was written.
const COUNTERS: usize = 10_000;

/// Whose counters. The shares of a key and of a client are added to others' when they are [written](super::rows).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Of {
    /// The Pacific day.
    pub(crate) day: String,
    /// The client.
    pub(crate) client: Option<KeyId>,
    /// The key that served.
    pub(crate) key: Option<KeyId>,
    /// The model; empty where nobody has shown that there is such a one.
    pub(crate) model: String,
}

/// The counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) not_answered: u64,
    pub(crate) attempts: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) total_tokens: u64,
}

/// Counters that were not written yet.
#[derive(Debug, Default)]
pub(crate) struct Usage(HashMap<Of, Counts>);

impl Usage {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Of, &Counts)> {
        self.0.iter()
    }

    /// Counts a request.
    pub(crate) fn count(&mut self, entry: &Entry) {
        let mut of = Of {
            day: entry.at.pacific_day(),
            client: Some(entry.client),
            key: entry.key,
            model: model_of(entry).to_owned(),
        };
        if self.0.len() >= COUNTERS && !self.0.contains_key(&of) {
            of = Of { client: None, key: None, model: String::new(), ..of };
        }
        let counts = self.0.entry(of).or_default();
        counts.requests += 1;
        counts.not_answered += u64::from(!entry.is_answered());
        counts.attempts += u64::from(entry.attempts);
        if let Some(usage) = entry.usage {
            counts.prompt_tokens = counts.prompt_tokens.saturating_add(usage.prompt);
            counts.total_tokens = counts.total_tokens.saturating_add(usage.total);
        }
    }
}

/// What clients ask for need not exist; what has served does.
fn model_of(entry: &Entry) -> &str {
    let is_known = entry.key.is_some() && (entry.is_answered() || entry.usage.is_some());
    entry.model.as_deref().filter(|_| is_known).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::entry::How;
    use super::super::tests::ended;
    use super::*;

    #[test]
    fn requests_are_added_up_within_bounds() {
        let mut usage = Usage::default();
        let midnight = 1_800_000_000_000;
        for at in [midnight - 1, midnight, midnight + 1] {
            usage.count(&ended(at));
        }
        let end = ended(0);
        let counts = |day: &str| {
            let (client, key) = (Some(end.client), end.key);
            usage.0.get(&Of { day: day.to_owned(), client, key, model: "gemini-2.5-flash".to_owned() })
        };
        let once = Counts { requests: 1, not_answered: 0, attempts: 2, prompt_tokens: 3, total_tokens: 5 };
        let twice = Counts { requests: 2, not_answered: 0, attempts: 4, prompt_tokens: 6, total_tokens: 10 };
        assert_eq!((counts("2027-01-14"), counts("2027-01-15")), (Some(&once), Some(&twice)));
        let mut entry = ended(midnight);
        for number in 0..COUNTERS as u64 + 10 {
            entry.client = KeyId::from_u64(number + 1);
            usage.count(&entry);
        }
        assert_eq!(usage.len(), COUNTERS + 1);
        assert_eq!(usage.iter().map(|(_, counts)| counts.requests).sum::<u64>(), COUNTERS as u64 + 13);
    }

    #[test]
    fn a_model_that_nobody_has_is_not_counted_by_name() {
        let mut entry = ended(0);
        entry.ending = How::Refused;
        entry.usage = None;
        let mut usage = Usage::default();
        usage.count(&entry);
        assert!(usage.iter().all(|(of, counts)| of.model.is_empty() && counts.not_answered == 1));
    }
}
