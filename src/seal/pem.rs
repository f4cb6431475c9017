//! Texts that hold binary values between lines of dashes (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The blocks of a text, each with its label; what stands around them is passed over,
/// and so is a block that is not well formed. Lines may have any length and any ending.
pub(super) fn blocks(text: &str) -> Vec<(&str, Vec<u8>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in text.lines().map(str::trim) {
        let marked = |word: &str| line.strip_prefix(word).and_then(|rest| rest.strip_suffix("-----"));
        if let Some(label) = marked("-----BEGIN ") {
            open = Some((label, String::new()));
        } else if let Some(label) = marked("-----END ") {
            if let Some((begun, encoded)) = open.take()
                && begun == label
                && let Ok(bytes) = STANDARD.decode(encoded)
            {
                blocks.push((label, bytes));
            }
        } else if let Some((_, encoded)) = &mut open {
            encoded.push_str(line);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_whatever_stands_around_them() {
        let text = "a key\r\n-----BEGIN A-----\r\nAQID\r\nBA==\r\n-----END A-----\r\n-----BEGIN B-----\n!\n-----END B-----\n\
                    -----BEGIN C-----\nAQ==\n-----END D-----\n-----BEGIN E-----\nAQ==";
        assert_eq!(blocks(text), [("A", vec![1, 2, 3, 4])]);
        assert_eq!(blocks(""), []);
    }
}
