//! Mistakes in a scenario, found before it runs.

use std::time::Duration;

use super::{Arrivals, Client, Latency, ProjectGroup, Scenario};

/// Google's own pools end far below; here it keeps a typing error from filling the memory.
const MOST_KEYS: usize = 200_000;
/// A trial keeps what happened to each request.
const LONGEST: Duration = Duration::from_secs(32 * 86_400);
const MOST_RATE: f64 = 1_000_000.0;
const LONGEST_LATENCY: u64 = 3_600_000;
const MOST_TOKENS: u64 = 1_000_000;

impl Scenario {
    /// The first mistake, as a sentence.
    pub(super) fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("scenario {}: {what}", self.name));
        if self.minutes.is_empty() {
            return wrong("minutes names no way to cut them: [\"fixed\"], [\"rolling\"] or both");
        }
        if self.duration.is_zero() || self.duration > LONGEST {
            return wrong("duration must be above 0 and at most 32d");
        }
        if self.projects.iter().any(|group| group.count > MOST_KEYS || group.keys > MOST_KEYS)
            || self.key_count() > MOST_KEYS
        {
            return wrong("there are more than 200,000 keys");
        }
        if self.key_count() == 0 {
            return wrong("there is no key in [[projects]]");
        }
        if self.clients.is_empty() {
            return wrong("there is no load: add [[clients]]");
        }
        let Latency { network_ms, first_byte_ms, answer_ms, spread, error_ms } = self.latency;
        if [network_ms, first_byte_ms, answer_ms, error_ms].iter().any(|millis| *millis > LONGEST_LATENCY)
            || !(0.0..=3.0).contains(&spread)
        {
            return wrong("latencies are at most an hour, and their spread is from 0 to 3");
        }
        self.projects.iter().try_for_each(ProjectGroup::check)?;
        self.clients.iter().try_for_each(Client::check)
    }
}

impl ProjectGroup {
    fn check(&self) -> Result<(), String> {
        if self.dead > self.keys {
            return Err(format!("a project of {} keys cannot have {} dead ones", self.keys, self.dead));
        }
        match self.others.iter().find(|(_, rate)| !(0.0..=MOST_RATE).contains(*rate)) {
            Some((model, rate)) => Err(format!("others of {model}: {rate} is no rate in requests a minute")),
            None => Ok(()),
        }
    }
}

impl Client {
    fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("client {}: {what}", self.name));
        if !libra_simulator::has_model(&self.model) {
            return wrong(&format!("the simulator has no model {}", self.model));
        }
        match (self.load, self.rate) {
            (Some(_), Some(_)) | (None, None) => return wrong("one of load and rate is needed"),
            (Some(load), None) if !(0.0..=1_000.0).contains(&load) => {
                return wrong("load is a share of the capacity, such as 0.95");
            }
            (None, Some(rate)) if !(0.0..=MOST_RATE).contains(&rate) => {
                return wrong("rate is a number of requests a minute");
            }
            (Some(_), None) if self.arrivals == Arrivals::Burst => {
                return wrong("a burst needs rate, its number of requests");
            }
            _ => {}
        }
        if let Some([from, to]) = self.hours
            && !(0.0 <= from && from < to && to <= 25.0)
        {
            return wrong("hours are [from, to] within a day");
        }
        let [least, most] = self.tokens;
        if least < 40 || least > most || most > MOST_TOKENS {
            return wrong("tokens are [least, most], from 40 to 1,000,000");
        }
        if !(0.0..=1.0).contains(&self.streams) {
            return wrong("streams is a share from 0 to 1");
        }
        if self.turns == 0 {
            return wrong("a conversation has at least one turn");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let check = |top: &str, project: &str, client: &str, named: &str| {
            let text = format!(
                "name = \"x\"\nduration = \"1h\"\n{top}\n[[projects]]\n{project}\n[[clients]]\nname = \"c\"\nmodel = \
                 \"gemini-2.5-flash\"\n{client}"
            );
            match (Scenario::from_toml(&text), named) {
                (Ok(_), "") => {}
                (Err(error), named) if !named.is_empty() => assert!(error.contains(named), "{error}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        };
        check("", "", "rate = 1.0", "");
        check("minutes = []", "", "rate = 1.0", "minutes");
        check("start = \"soon\"", "", "rate = 1.0", "soon");
        check("", "keys = 0", "rate = 1.0", "no key");
        check("", "count = 300000", "rate = 1.0", "200,000");
        check("", "count = 4611686018427387904\nkeys = 8", "rate = 1.0", "200,000");
        check("", "dead = 2", "rate = 1.0", "dead");
        check("", "others = { m = -1.0 }", "rate = 1.0", "rate");
        check("", "", "", "load");
        check("", "", "load = 0.5\nrate = 1.0", "load");
        check("", "", "rate = nan", "rate");
        check("", "", "load = 0.5\narrivals = \"burst\"", "burst");
        check("", "", "rate = 1.0\nhours = [9, 8]", "hours");
        check("", "", "rate = 1.0\ntokens = [10, 20]", "tokens");
        check("", "", "rate = 1.0\nstreams = 2.0", "streams");
        check("", "", "rate = 1.0\nturns = 0", "turn");
        check("", "", "rate = 1.0\n[[clients]]\nname = \"d\"\nmodel = \"gemini-9\"\nrate = 1.0", "gemini-9");
        check("latency = { network_ms = 4000000 }", "", "rate = 1.0", "latencies");
        check("speed = 3", "", "rate = 1.0", "speed");
    }
}
