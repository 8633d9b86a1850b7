//! `libra config check`: reads the settings as a start would, and says where each comes from and what is wrong.

use std::process::ExitCode;

use crate::cli::Options;
use crate::settings::{Checked, Settings};
use crate::table::table;

/// Says what is set and what is wrong. The exit code of a start that fails for its settings, where it would.
pub(crate) fn check(options: &Options, say: impl Fn(&str)) -> ExitCode {
    let Checked { shown, problems, notices } = Settings::check(options);
    let header = ["SETTING", "VALUE", "FROM"].map(str::to_owned);
    let rows = shown.into_iter().filter_map(|shown| {
        let value = shown.value.map_or_else(|| "(set)".to_owned(), |value| short(&value));
        Some([shown.name.to_owned(), value, shown.origin?])
    });
    let rows: Vec<[String; 3]> = std::iter::once(header).chain(rows).collect();
    if rows.len() > 1 {
        say(table(&rows).trim_end());
    } else {
        say("nothing is set");
    }
    for notice in notices {
        say(&format!("note: {notice}"));
    }
    for problem in &problems {
        say(&format!("wrong: {problem}"));
    }
    if problems.is_empty() {
        say("the settings can be used");
        return ExitCode::SUCCESS;
    }
    ExitCode::from(crate::BAD_USAGE)
}

/// The beginning of a value, on one line.
fn short(value: &str) -> String {
    const MOST: usize = 60;
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
