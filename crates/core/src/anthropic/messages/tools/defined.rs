//! Tools that Anthropic defines and the client runs. Its own models know them by heart; Gemini is told what they
//! take.

use serde_json::value::RawValue;

const BASH: &str = r#"{"type":"object","properties":{
    "command":{"type":"string","description":"The command to run. Not needed where restart is true."},
    "restart":{"type":"boolean","description":"Starts the shell anew."}}}"#;

const TEXT_EDITOR: &str = r#"{"type":"object","properties":{
    "command":{"type":"string","enum":["view","create","str_replace","insert"]},
    "path":{"type":"string","description":"The file or folder."},
    "view_range":{"type":"array","items":{"type":"integer"},
        "description":"For view: the first and the last line; -1 is the file's last one."},
    "file_text":{"type":"string","description":"For create: the text of the file."},
    "old_str":{"type":"string","description":"For str_replace: what is there once, and is replaced."},
    "new_str":{"type":"string","description":"For str_replace: what takes its place."},
    "insert_line":{"type":"integer","description":"For insert: the line after which to insert; 0 for the top."},
    "insert_text":{"type":"string","description":"For insert: the text to insert."}},
    "required":["command","path"]}"#;

const MEMORY: &str = r#"{"type":"object","properties":{
    "command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},
    "path":{"type":"string","description":"The file or folder, under /memories."},
    "view_range":{"type":"array","items":{"type":"integer"}},
    "file_text":{"type":"string"},
    "old_str":{"type":"string"},
    "new_str":{"type":"string"},
    "insert_line":{"type":"integer"},
    "insert_text":{"type":"string"},
    "old_path":{"type":"string","description":"For rename."},
    "new_path":{"type":"string","description":"For rename."}},
    "required":["command"]}"#;

const COMPUTER: &str = r#"{"type":"object","properties":{
    "action":{"type":"string","enum":["screenshot","key","type","mouse_move","left_click","right_click",
        "middle_click","double_click","triple_click","left_click_drag","left_mouse_down","left_mouse_up",
        "scroll","hold_key","wait","cursor_position","zoom"]},
    "coordinate":{"type":"array","items":{"type":"integer"},"description":"x and y, in pixels."},
    "start_coordinate":{"type":"array","items":{"type":"integer"}},
    "region":{"type":"array","items":{"type":"integer"},"description":"For zoom: two corners."},
    "text":{"type":"string","description":"What to type, or the key to press."},
    "scroll_direction":{"type":"string","enum":["up","down","left","right"]},
    "scroll_amount":{"type":"integer"},
    "duration":{"type":"number","description":"Seconds to wait or to hold a key."}},
    "required":["action"]}"#;

/// What a kind of tool does, and the schema of its input.
pub(super) fn find(kind: &str) -> Option<(&'static str, Option<&'static RawValue>)> {
    let (description, schema) = match kind {
        _ if kind.starts_with("bash_") => ("Runs commands in a shell that stays open between calls.", BASH),
        _ if kind.starts_with("text_editor_") => ("Views, creates and edits text files.", TEXT_EDITOR),
        _ if kind.starts_with("memory_") => ("Keeps notes in files that outlive the conversation.", MEMORY),
        _ if kind.starts_with("computer_2") => {
            ("Looks at the screen, and uses mouse and keyboard.", COMPUTER)
        }
        _ => return None,
    };
    Some((description, serde_json::from_str(schema).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_json() {
        for kind in ["bash_20250124", "text_editor_20250728", "memory_20250818", "computer_20251124"] {
            assert!(find(kind).is_some_and(|(_, schema)| schema.is_some()), "{kind}");
        }
        assert!(find("tool_search_tool_regex_20251119").is_none());
    }
}
