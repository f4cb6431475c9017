//! What all pages of HTML share: they are one file each, load nothing, and have no script.

use std::fmt::Write as _;

use crate::diagnostic::bytes;
pub(super) use crate::plan::escaped as escape;

/// Colours that layers have in turn.
pub(super) const COLOURS: usize = 24;

/// The begin of a page, up to what is seen; its styles come behind those of all pages.
pub(super) fn begin(title: &str, styles: &[&str]) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n",
        escape(title),
        include_str!("style.css"),
        styles.concat(),
    )
}

/// The page with its end.
pub(super) fn end(page: String) -> String {
    page + "</body>\n</html>\n"
}

/// A style for each of the colours of layers.
pub(super) fn colours() -> String {
    let mut styles = String::new();
    for colour in 0..COLOURS {
        // Steps of the golden angle: neighbours differ most.
        let _ = writeln!(styles, ".l{colour}{{--h:{}}}", (colour * 137 + 205) % 360);
    }
    styles
}

/// The heading of a table of layers.
pub(super) const LAYERS: &str =
    "<tr><th>layer<th class=\"n\">unpacked<th class=\"n\">transfer<th>digest<th>made by\n";

/// The row of a layer: its place, its bytes unpacked and to transfer, and, fit for a page,
/// its digest and what made it.
pub(super) fn layer(page: &mut String, at: usize, size: Option<u64>, transfer: u64, digest: &str, by: &str) {
    let (colour, place, transfer) = (at % COLOURS, at + 1, bytes(transfer));
    let size = size.map(bytes).unwrap_or_default();
    let _ = writeln!(
        page,
        "<tr><td><span class=\"key l{colour}\"></span>{place}<td class=\"n\">{size}<td class=\"n\">{transfer}<td><code>{digest}</code><td class=\"by\">{by}",
    );
}
