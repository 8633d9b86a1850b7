//! Voices: OpenAI's names for Google's.

/// The voice of Google that comes nearest to one of OpenAI's. Any other name is taken as Google's own.
pub(super) fn to_gemini(voice: &str) -> &str {
    match voice {
        "alloy" => "Kore",
        "ash" => "Puck",
        "ballad" => "Enceladus",
        "cedar" => "Charon",
        "coral" => "Aoede",
        "echo" => "Fenrir",
        "fable" => "Sulafat",
        "marin" => "Leda",
        "nova" => "Zephyr",
        "onyx" => "Algenib",
        "sage" => "Vindemiatrix",
        "shimmer" => "Autonoe",
        "verse" => "Orus",
        other => other,
    }
}
