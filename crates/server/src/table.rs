//! Tables of plain text.

use std::fmt::Write as _;

/// The rows, at least three columns each, aligned. A row that has its second cell only is a note.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    // A note spans its line, and does not widen a column.
    let is_note = |row: &[String; COLUMNS]| row[0].is_empty() && row[2..].iter().all(String::is_empty);
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let cells = rows.iter().filter(|row| !is_note(row)).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, " {cell:<width$} ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
