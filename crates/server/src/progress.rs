//! A line on standard error that tells how far something is, if somebody looks at it.

use std::io::{IsTerminal as _, Write as _};

/// So many characters a bar has.
const WIDTH: u64 = 30;

/// The line.
pub(crate) struct Line {
    /// How many characters it has now.
    width: usize,
    is_seen: bool,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { width: 0, is_seen: std::io::stderr().is_terminal() }
    }

    /// Shows how much of all is done.
    pub(crate) fn bar(&mut self, done: u64, all: u64, more: &str) {
        self.show(&bar(done, all, more));
    }

    /// Writes over the line before. A closed standard error is no reason to fail.
    pub(crate) fn show(&mut self, line: &str) {
        if self.is_seen {
            let _ = write!(std::io::stderr(), "\r{line:<width$}", width = self.width);
            self.width = line.chars().count();
        }
    }

    /// Leaves nothing of it.
    pub(crate) fn clear(&mut self) {
        self.show("");
        if self.is_seen {
            let _ = write!(std::io::stderr(), "\r");
        }
    }
}

fn bar(done: u64, all: u64, more: &str) -> String {
    let full = (done.min(all) * WIDTH).checked_div(all).unwrap_or(WIDTH);
    let bar: String = (0..WIDTH).map(|place| if place < full { '█' } else { '░' }).collect();
    format!("{bar} {done} of {all}  {more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_what_is_done() {
        let full = |done, all| bar(done, all, "").chars().filter(|c| *c == '█').count();
        assert_eq!([full(0, 10), full(5, 10), full(10, 10), full(11, 10), full(0, 0)], [0, 15, 30, 30, 30]);
    }
}
