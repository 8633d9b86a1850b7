//! Sizes: OpenAI's are in pixels, Gemini has shapes and, for some models, a class of resolution.

use crate::error::Error;
use crate::gemini::model::Model;
use crate::gemini::request::ImageConfig;

/// The shapes that every model draws.
const SHAPES: [(&str, f64); 10] = [
    ("1:1", 1.0),
    ("2:3", 2.0 / 3.0),
    ("3:2", 3.0 / 2.0),
    ("3:4", 3.0 / 4.0),
    ("4:3", 4.0 / 3.0),
    ("4:5", 4.0 / 5.0),
    ("5:4", 5.0 / 4.0),
    ("9:16", 9.0 / 16.0),
    ("16:9", 16.0 / 9.0),
    ("21:9", 21.0 / 9.0),
];

/// The longer side that an image of a class has at most, in pixels.
const CLASSES: [(&str, u32); 2] = [("1K", 1536), ("2K", 3072)];

/// The largest class.
const LARGEST: &str = "4K";

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    /// Width by height.
    shape: f64,
    /// The longer side; none where only a shape was named.
    pixels: Option<u32>,
}

impl Size {
    /// Reads `1024x1536`, `16:9` or `auto`; none for the last.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, Error> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() || text == "auto" {
            return Ok(None);
        }
        let parts = |mark: char| {
            let (width, height) = text.split_once(mark)?;
            let side = |side: &str| side.trim().parse::<u32>().ok().filter(|side| *side > 0);
            Some((side(width)?, side(height)?))
        };
        let shape = |(width, height): (u32, u32)| f64::from(width) / f64::from(height);
        if let Some(sides) = parts(':') {
            return Ok(Some(Self { shape: shape(sides), pixels: None }));
        }
        match parts('x') {
            Some(sides) => Ok(Some(Self { shape: shape(sides), pixels: Some(sides.0.max(sides.1)) })),
            None => Err(Error::bad_request(
                "Invalid value for 'size': expected 'auto', width and height as in '1024x1536', or a shape as in '16:9'.",
                "size",
            )),
        }
    }

    /// The nearest that a model can be told; none where it cannot be told anything.
    pub(super) fn config(self, model: Model) -> Option<ImageConfig<'static>> {
        if !model.draws_in_shapes() {
            return None;
        }
        let distance = |shape: f64| (shape.ln() - self.shape.ln()).abs();
        let (aspect_ratio, _) =
            SHAPES.iter().min_by(|(_, a), (_, b)| distance(*a).total_cmp(&distance(*b))).copied()?;
        let class = self.pixels.map(|pixels| {
            CLASSES.iter().find(|(_, most)| pixels <= *most).map_or(LARGEST, |(class, _)| class)
        });
        // A thousand pixels are what is drawn without a word.
        let image_size = class.filter(|class| *class != "1K" && model.draws_in_sizes());
        Some(ImageConfig::Chosen { aspect_ratio, image_size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_become_shapes_and_classes() {
        let check = |size: &str, model: &str, expected: &str| {
            let size = Size::parse(size).unwrap_or_else(|error| panic!("{size}: {error}"));
            let config = size.and_then(|size| size.config(Model::parse(model)));
            let config = config.map(|config| serde_json::to_string(&config).expect("writes"));
            assert_eq!(config.unwrap_or_default(), expected);
        };
        let (old, new) = ("gemini-2.5-flash-image", "gemini-3-pro-image-preview");
        check("1024x1024", old, r#"{"aspectRatio":"1:1"}"#);
        check("1536x1024", old, r#"{"aspectRatio":"3:2"}"#);
        check("1024x1792", old, r#"{"aspectRatio":"9:16"}"#);
        check(" 1792X1024 ", new, r#"{"aspectRatio":"16:9","imageSize":"2K"}"#);
        check("1536x1024", new, r#"{"aspectRatio":"3:2"}"#);
        check("4096x4096", new, r#"{"aspectRatio":"1:1","imageSize":"4K"}"#);
        check("4096x4096", old, r#"{"aspectRatio":"1:1"}"#);
        check("21:9", new, r#"{"aspectRatio":"21:9"}"#);
        check("1x100000", new, r#"{"aspectRatio":"9:16","imageSize":"4K"}"#);
        check("1024x1024", "gemini-2.0-flash-preview-image-generation", "");
        check("auto", new, "");
        check("", new, "");
        for wrong in ["large", "0x5", "1024", "x", "-1x4", "99999999999x1"] {
            assert_eq!(
                Size::parse(wrong).map_err(|error| error.param),
                Err(Some("size".to_owned())),
                "{wrong}"
            );
        }
    }
}
