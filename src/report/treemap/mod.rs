//! The files of an image as a page of HTML: a squarified treemap.
//!
//! The page loads nothing and has no script. A directory is a link to itself; the
//! style sheet draws the one that is the target of the page's address over the whole
//! map, so that a click, the keyboard, and the browser's way back all zoom. All names
//! come from the image and are escaped.

mod layout;
mod tree;

use std::fmt::Write as _;

use crate::diagnostic::{bytes, counted};
use crate::inspect::{ImageReport, PlatformReport, largest, wasted};
use crate::oci::FileTree;
use crate::report::document::{COLOURS, LAYERS, begin, colours, end, escape, layer};
use crate::report::treemap::layout::{Area, squarify};
use crate::report::treemap::tree::{Dir, Leaf};

/// The map as it is laid out, in CSS pixels; it is drawn as large as there is room.
const MAP: Area = Area { x: 0.0, y: 0.0, width: 1200.0, height: 680.0 };
/// Height of a directory's heading, in CSS pixels.
const HEAD: f64 = 18.0;
/// What would have a smaller area than this, in square pixels, is drawn as one with its
/// neighbours. So a map has at most some thousand pieces.
const LEAST: f64 = 120.0;
/// Longest that a name or path is shown, in bytes: one may have a megabyte.
const LONGEST: usize = 300;
/// Most files of a list.
const LISTED: usize = 25;

/// A page that shows the files of each platform by size and layer. Of a report without
/// files, only the layers.
#[must_use]
pub fn treemap(report: &ImageReport, name: &str) -> String {
    let mut page = begin(name, &[include_str!("map.css"), &colours()]);
    let _ = write!(page, "<h1>{}</h1>\n<p class=\"digest\">{}</p>\n", escape(name), report.descriptor.digest);
    for (at, platform) in report.platforms.iter().enumerate() {
        section(&mut page, at, platform);
    }
    end(page)
}

fn section(page: &mut String, at: usize, platform: &PlatformReport) {
    let _ = write!(page, "<section>\n<h2>{}</h2>\n", escape(&platform.platform.to_string()));
    if let Some(files) = &platform.files {
        let tree = Dir::of(files);
        let drawn = Drawing::draw(&tree, at);
        let percent = files.efficiency() * 100.0;
        let _ = write!(
            page,
            "<p>{} in {}, {} to transfer. {} wasted, efficiency {percent:.1} %.",
            bytes(files.size()),
            counted(tree.count, "file"),
            bytes(platform.transferred()),
            bytes(files.wasted_size()),
        );
        if drawn.folded > 0 {
            let small = counted(drawn.folded, "small file");
            let _ = write!(page, " {small} drawn together with their neighbours.");
        }
        page.push_str("</p>\n");
        if tree.size == 0 {
            page.push_str("<p>There is nothing to draw: no file has any content.</p>\n");
        } else {
            let _ = write!(
                page,
                "<p class=\"hint\">Choose a directory to enlarge it, and the one above it to go back. \
                 Colours are layers; what is hatched is wasted. The same as \
                 <a href=\"#files{at}\">lists</a>.</p>\n<div class=\"map\">{}</div>\n",
                drawn.html
            );
        }
    }
    layers(page, platform);
    if let Some(files) = &platform.files {
        lists(page, at, files);
    }
    page.push_str("</section>\n");
}

fn layers(page: &mut String, platform: &PlatformReport) {
    let _ = write!(page, "<h3>Layers</h3>\n<div class=\"wide\"><table>\n{LAYERS}");
    for (at, one) in platform.layers.iter().enumerate() {
        let by = called(one.created_by.as_deref().unwrap_or_default().as_bytes());
        layer(page, at, one.size, one.descriptor.size, &one.descriptor.digest.short(), &by);
    }
    page.push_str("</table></div>\n");
}

fn lists(page: &mut String, at: usize, files: &FileTree) {
    let _ = write!(page, "<h3 id=\"files{at}\">Largest files</h3>\n<div class=\"wide\"><table>\n");
    for file in largest(files, LISTED) {
        let (colour, layer) = (file.layer % COLOURS, file.layer + 1);
        let (size, path) = (bytes(file.size), shown(&file.path));
        let _ = writeln!(
            page,
            "<tr><td class=\"n\">{size}<td><span class=\"key l{colour}\"></span>{layer}<td class=\"by\">{path}"
        );
    }
    page.push_str("</table></div>\n");
    let lost = wasted(files);
    if lost.is_empty() {
        return;
    }
    page.push_str("<h3>Wasted</h3>\n<div class=\"wide\"><table>\n");
    for waste in lost.iter().take(LISTED) {
        let how = if waste.deleted { "deleted" } else { "replaced" };
        let (colour, layer, by) = (waste.layer % COLOURS, waste.layer + 1, waste.by + 1);
        let (size, path) = (bytes(waste.size), shown(&waste.path));
        let _ = writeln!(
            page,
            "<tr><td class=\"n\">{size}<td><span class=\"key l{colour}\"></span>{layer}, {how} in {by}<td class=\"by\">{path}"
        );
    }
    page.push_str("</table></div>\n");
    if lost.len() > LISTED {
        let _ = writeln!(page, "<p>and {} more</p>", lost.len() - LISTED);
    }
}

/// A map that is being drawn.
struct Drawing {
    html: String,
    /// Which platform it is of: ids are unique in a page.
    platform: usize,
    directories: usize,
    /// Files that have no piece of their own.
    folded: usize,
}

/// A part of a directory.
enum Piece<'a> {
    Dir(&'a Dir<'a>),
    Leaf(&'a Leaf<'a>),
    /// So many files, of so many bytes.
    Rest(usize, u64),
}

impl Drawing {
    fn draw(tree: &Dir<'_>, platform: usize) -> Self {
        let mut drawing = Self { html: String::new(), platform, directories: 0, folded: 0 };
        drawing.directory(tree, "/", MAP, "inset:0");
        drawing
    }

    fn directory(&mut self, dir: &Dir<'_>, name: &str, area: Area, style: &str) {
        let id = format!("m{}-{}", self.platform, self.directories);
        self.directories += 1;
        let size = bytes(dir.size);
        let _ = write!(
            self.html,
            "<div class=\"dir\" id=\"{id}\" style=\"{style}\"><a href=\"#{id}\" title=\"{path} {size}\">{name} <small>{size}</small></a><div>",
            path = shown(dir.path),
        );
        let room = Area { height: (area.height - HEAD).max(1.0), ..area };
        let pieces = pieces(dir, room);
        let sizes: Vec<u64> = pieces.iter().map(Piece::size).collect();
        for (piece, place) in pieces.iter().zip(squarify(&sizes, room)) {
            self.piece(piece, place, room);
        }
        self.html.push_str("</div></div>");
    }

    fn piece(&mut self, piece: &Piece<'_>, place: Area, room: Area) {
        let style = place.within(room);
        match piece {
            Piece::Dir(dir) => {
                let (inner, name) = dir.descend();
                self.directory(inner, &called(&name), place, &style);
            }
            Piece::Leaf(leaf) => {
                let lost = leaf.lost.map(|(by, deleted)| {
                    format!(", {} in layer {}", if deleted { "deleted" } else { "replaced" }, by + 1)
                });
                let _ = write!(
                    self.html,
                    "<i class=\"l{}{}\" style=\"{style}\" title=\"{} {}, layer {}{}\">{}</i>",
                    leaf.layer % COLOURS,
                    if lost.is_some() { " w" } else { "" },
                    shown(leaf.path),
                    bytes(leaf.size),
                    leaf.layer + 1,
                    lost.unwrap_or_default(),
                    called(leaf.name),
                );
            }
            Piece::Rest(count, size) => {
                self.folded += count;
                let (files, size) = (counted(*count, "small file"), bytes(*size));
                let _ = write!(
                    self.html,
                    "<i class=\"rest\" style=\"{style}\" title=\"{files}, {size}\">{files}</i>"
                );
            }
        }
    }
}

impl Piece<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Dir(dir) => dir.size,
            Self::Leaf(leaf) => leaf.size,
            Self::Rest(_, size) => *size,
        }
    }
}

/// The parts of a directory, the largest first; the small ones as one.
#[expect(clippy::cast_precision_loss, reason = "an area is seen, not counted")]
fn pieces<'a>(dir: &'a Dir<'a>, room: Area) -> Vec<Piece<'a>> {
    let dirs = dir.dirs.values().map(Piece::Dir);
    let mut all: Vec<_> = dirs.chain(dir.leaves.iter().map(Piece::Leaf)).collect();
    all.sort_by_key(|piece| std::cmp::Reverse(piece.size()));
    let area = |size: u64| room.width * room.height * size as f64 / dir.size.max(1) as f64;
    let small = all.partition_point(|piece| area(piece.size()) >= LEAST);
    let rest = all.split_off(small);
    let count = rest.iter().map(|piece| match piece {
        Piece::Dir(dir) => dir.count,
        Piece::Leaf(_) => 1,
        Piece::Rest(count, _) => *count,
    });
    let (count, size) = (count.sum(), rest.iter().map(Piece::size).sum());
    if count > 0 {
        all.push(Piece::Rest(count, size));
        all.sort_by_key(|piece| std::cmp::Reverse(piece.size()));
    }
    all
}

/// A path, from the root; of a very long one, its end.
fn shown(path: &[u8]) -> String {
    let start = path.len().saturating_sub(LONGEST);
    let end = path.get(start..).unwrap_or_default();
    format!("{}{}", if start > 0 { "…" } else { "/" }, escape(&String::from_utf8_lossy(end)))
}

/// A name; of a very long one, its begin.
fn called(name: &[u8]) -> String {
    escape(&String::from_utf8_lossy(name.get(..LONGEST).unwrap_or(name)))
}

#[cfg(test)]
mod tests;
