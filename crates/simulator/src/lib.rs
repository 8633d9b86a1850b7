//! A simulated Gemini.
