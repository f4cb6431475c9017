//! An image for browsers: self-contained, on light and on dark pages.

use std::fmt::Write;

use crate::plan::drawing::layer::{Columns, count};
use crate::plan::drawing::place::middles;
use crate::plan::drawing::{Box, Colour, Drawing, Node, Sketch, kinds};
use crate::plan::{NeedKind, Plan};

/// Distances, in pixels.
const MARGIN: f64 = 28.0;
const BOX_HEIGHT: f64 = 46.0;
const ROW_GAP: f64 = 16.0;
const BEND_HEIGHT: f64 = 6.0;
const COLUMN_GAP: f64 = 56.0;
const PADDING: f64 = 16.0;
const NAME_ADVANCE: f64 = 7.85;
const DETAIL_ADVANCE: f64 = 6.65;
const LEGEND_HEIGHT: f64 = 40.0;

/// The longest text in a box, in characters; its title has all of it.
const LONGEST: usize = 36;

/// How wide boxes without edges may stand beside each other.
const ROW_WIDTH: f64 = 1100.0;

/// A place in the image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rect {
    x: f64,
    y: f64,
    width: f64,
}

/// The plan as an SVG image: a column for each rank, needs to the left.
#[must_use]
pub fn svg(plan: &Plan) -> String {
    draw(&Drawing::new(plan))
}

/// Steps as an SVG image in the same way, to be part of a page.
#[must_use]
pub fn svg_of(steps: &[Sketch]) -> String {
    draw(&Drawing::of(steps))
}

fn draw(drawing: &Drawing) -> String {
    let picture = Picture::new(drawing);
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = picture.write(drawing, &mut out);
    out
}

/// Where everything stands.
struct Picture {
    nodes: Vec<Rect>,
    /// For each edge, the paths that it takes.
    paths: Vec<String>,
    width: f64,
    height: f64,
}

impl Picture {
    fn new(drawing: &Drawing) -> Self {
        let mut tied = vec![false; drawing.nodes.len()];
        for (from, to, _) in &drawing.edges {
            tied[*from] = true;
            tied[*to] = true;
        }
        // Boxes with edges stand in columns, the others in rows below.
        let inner: Vec<usize> = (0..drawing.nodes.len()).filter(|at| tied[*at]).collect();
        let mut place = vec![usize::MAX; drawing.nodes.len()];
        for (at, node) in inner.iter().enumerate() {
            place[*node] = at;
        }
        let edges: Vec<(usize, usize)> =
            drawing.edges.iter().map(|(from, to, _)| (place[*from], place[*to])).collect();
        let columns = Columns::new(inner.len(), &edges);
        let is_box = |node: usize| inner.get(node).is_some_and(|at| is_step(drawing, *at));
        let heights: Vec<f64> =
            (0..columns.left.len()).map(|node| if is_box(node) { BOX_HEIGHT } else { BEND_HEIGHT }).collect();
        let middles = middles(&columns, &heights, ROW_GAP);
        let mut rects = vec![Rect::default(); columns.left.len()];
        let mut x = MARGIN;
        for column in &columns.stacks {
            let widths =
                column.iter().filter_map(|node| inner.get(*node)).map(|at| node_width(&drawing.nodes[*at]));
            let width = widths.fold(0.0, f64::max);
            for node in column {
                rects[*node] = Rect { x, y: MARGIN + middles[*node], width };
            }
            x += if column.is_empty() { 0.0 } else { width + COLUMN_GAP };
        }
        let bottom = rects.iter().take(inner.len()).map(|rect| rect.y + BOX_HEIGHT / 2.0).fold(0.0, f64::max);
        let knotted = |node: &usize| inner.get(*node).is_some_and(|at| !is_step(drawing, *at));
        let paths = columns.routes.iter().map(|route| {
            let ends = [route.first(), route.last()].map(|node| node.is_some_and(knotted));
            path(route, &rects, ends)
        });
        let paths = paths.collect();
        let mut picture = Self {
            nodes: vec![Rect::default(); drawing.nodes.len()],
            paths,
            width: (x - COLUMN_GAP + MARGIN).max(2.0 * MARGIN),
            height: bottom + MARGIN,
        };
        for (at, node) in inner.iter().enumerate() {
            picture.nodes[*node] = rects[at];
        }
        picture.place_untied(drawing, &tied);
        picture
    }

    /// Puts boxes that no edge leads to or from into rows.
    fn place_untied(&mut self, drawing: &Drawing, tied: &[bool]) {
        let limit = self.width.max(ROW_WIDTH);
        let widest =
            drawing.nodes.iter().zip(tied).filter(|(_, tied)| !**tied).map(|(node, _)| node_width(node));
        let width = widest.fold(0.0, f64::max);
        let (mut x, mut y) = (MARGIN, self.height.max(MARGIN) + BOX_HEIGHT / 2.0);
        for at in (0..tied.len()).filter(|at| !tied[*at]) {
            if x > MARGIN && x + width + MARGIN > limit {
                (x, y) = (MARGIN, y + BOX_HEIGHT + ROW_GAP);
            }
            self.nodes[at] = Rect { x, y, width };
            self.width = self.width.max(x + width + MARGIN);
            self.height = y + BOX_HEIGHT / 2.0 + MARGIN;
            x += width + ROW_GAP;
        }
    }

    fn write(&self, drawing: &Drawing, out: &mut String) -> std::fmt::Result {
        let kinds = kinds(drawing);
        let mut words: Vec<(&str, &str)> = kinds.iter().map(|kind| (kind.class(), kind.legend())).collect();
        if drawing.boxes().any(|(_, step)| !step.available) {
            words.push(("missing", "not available yet"));
        }
        let width = words.iter().map(|(_, text)| legend_width(text)).sum::<f64>() + 2.0 * MARGIN;
        let width = self.width.max(width);
        let height = self.height + if words.is_empty() { 0.0 } else { LEGEND_HEIGHT };
        // What is an image for all has no parts that could be chosen.
        let role = if drawing.boxes().any(|(_, step)| step.link.is_some()) { "group" } else { "img" };
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" role="{role}" aria-label="{} steps">"#,
            drawing.boxes().count()
        )?;
        out.push_str(&style(&kinds));
        writeln!(out, r#"<rect class="page" width="100%" height="100%"/>"#)?;
        // An arrow belongs to its line: it is in front of boxes that are drawn before.
        out.push_str("<g class=\"edges\">\n");
        for ((_, _, kind), path) in drawing.edges.iter().zip(&self.paths) {
            writeln!(out, r#"<path class="{}" d="{path}"/>"#, edge_class(*kind))?;
        }
        out.push_str("</g>\n");
        for (node, rect) in drawing.nodes.iter().zip(&self.nodes) {
            match node {
                Node::Step(step) => write_box(step, *rect, out)?,
                Node::Knot => {
                    let x = rect.x + rect.width / 2.0;
                    writeln!(out, r#"<circle class="knot" cx="{x:.1}" cy="{:.1}" r="3"/>"#, rect.y)?;
                }
            }
        }
        let (mut x, y) = (MARGIN, self.height + 4.0);
        for (class, text) in &words {
            writeln!(
                out,
                r#"<g class="{class}"><rect class="box" x="{x:.1}" y="{y:.1}" width="14" height="14" rx="4"/><text class="legend" x="{:.1}" y="{:.1}">{text}</text></g>"#,
                x + 21.0,
                y + 11.0,
            )?;
            x += legend_width(text);
        }
        out.push_str("</svg>\n");
        Ok(())
    }
}

fn write_box(step: &Box, rect: Rect, out: &mut String) -> std::fmt::Result {
    let Rect { x, y, width } = rect;
    let top = y - BOX_HEIGHT / 2.0;
    let goal = if step.goal { " goal" } else { "" };
    let missing = if step.available { "" } else { " missing" };
    if let Some(link) = &step.link {
        writeln!(out, r#"<a href="{}">"#, escaped(link))?;
    }
    writeln!(
        out,
        r#"<g class="{}{goal}{missing}"><title>{}</title>"#,
        step.kind.class(),
        escaped(&step.title)
    )?;
    writeln!(
        out,
        r#"<rect class="box" x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{BOX_HEIGHT:.0}" rx="9"/>"#
    )?;
    let left = x + PADDING;
    if step.detail.is_empty() {
        writeln!(out, r#"<text class="name" x="{left:.1}" y="{:.1}">{}</text>"#, y + 4.5, shown(&step.name))?;
    } else {
        writeln!(out, r#"<text class="name" x="{left:.1}" y="{:.1}">{}</text>"#, y - 3.5, shown(&step.name))?;
        writeln!(
            out,
            r#"<text class="detail" x="{left:.1}" y="{:.1}">{}</text>"#,
            y + 13.0,
            shown(&step.detail)
        )?;
    }
    out.push_str(if step.link.is_some() { "</g></a>\n" } else { "</g>\n" });
    Ok(())
}

/// The line of an edge: through the columns it passes it runs level, between
/// them it swings. A knot stands in the middle of its column, and a line to it
/// has no head.
fn path(route: &[usize], rects: &[Rect], [from_knot, to_knot]: [bool; 2]) -> String {
    let mut path = String::new();
    let Some(first) = route.first().and_then(|node| rects.get(*node)) else { return path };
    let (mut x, mut y) = (first.x + first.width, first.y);
    // Writing to a string does not fail.
    let _ = if from_knot {
        write!(path, "M{:.1} {y:.1} H{x:.1}", first.x + first.width / 2.0)
    } else {
        write!(path, "M{x:.1} {y:.1}")
    };
    for (at, node) in route.iter().enumerate().skip(1) {
        let Some(rect) = rects.get(*node) else { continue };
        let last = at + 1 == route.len();
        // Room for the head of the arrow.
        let end = if last && !to_knot { rect.x - 3.0 } else { rect.x };
        let middle = f64::midpoint(x, end);
        let _ = write!(path, " C{middle:.1} {y:.1} {middle:.1} {:.1} {end:.1} {:.1}", rect.y, rect.y);
        (x, y) = (rect.x + rect.width, rect.y);
        let _ = match (last, to_knot) {
            (false, _) => write!(path, " H{x:.1}"),
            (true, true) => write!(path, " H{:.1}", rect.x + rect.width / 2.0),
            (true, false) => {
                let (tip, tail) = (rect.x - 2.0, rect.x - 8.0);
                write!(path, " M{tail:.1} {:.1} L{tip:.1} {y:.1} L{tail:.1} {:.1}", y - 4.0, y + 4.0)
            }
        };
    }
    path
}

fn is_step(drawing: &Drawing, at: usize) -> bool {
    matches!(drawing.nodes.get(at), Some(Node::Step(_)))
}

fn node_width(node: &Node) -> f64 {
    match node {
        Node::Step(step) => box_width(step),
        Node::Knot => 0.0,
    }
}

const fn edge_class(kind: NeedKind) -> &'static str {
    match kind {
        NeedKind::Product => "product",
        NeedKind::Success => "success",
        NeedKind::End => "end",
    }
}

fn box_width(step: &Box) -> f64 {
    let name = count(shortened(&step.name).chars().count()) * NAME_ADVANCE;
    let detail = count(shortened(&step.detail).chars().count()) * DETAIL_ADVANCE;
    name.max(detail).max(60.0) + 2.0 * PADDING
}

fn legend_width(text: &str) -> f64 {
    count(text.len()) * DETAIL_ADVANCE + 48.0
}

/// A text that fits into a box: its beginning, and its end, which tells it apart.
fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= LONGEST {
        return text.to_owned();
    }
    let half = LONGEST / 2;
    let start: String = text.chars().take(half).collect();
    let end: String = text.chars().skip(length - half + 1).collect();
    format!("{start}…{end}")
}

fn shown(text: &str) -> String {
    escaped(&shortened(text))
}

/// Text that others wrote, fit for any place in a document of XML or HTML: no markup,
/// nothing that turns the direction of writing, no control characters but line breaks.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push('\n'),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn style(kinds: &[Colour]) -> String {
    let mut style = String::from("<style>\n");
    style.push_str(
        "text { font-family: ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace; }\n\
         .page { fill: #ffffff; }\n\
         .name { font-size: 13px; font-weight: 600; }\n\
         .detail { font-size: 11px; opacity: .82; }\n\
         .legend { font-size: 11px; fill: #5c6370; }\n\
         .box { stroke-width: 1.2; fill: none; stroke: #9aa1ac; }\n\
         .goal > .box { stroke-width: 2.4; }\n\
         .missing > .box { stroke-dasharray: 5 3; }\n\
         .edges path { fill: none; stroke: #9aa1ac; stroke-width: 1.4; stroke-linecap: round; stroke-linejoin: round; }\n\
         .edges .success { stroke: #b9bec7; }\n\
         .edges .end { stroke: #c4566a; opacity: .7; }\n\
         .knot { fill: #9aa1ac; }\n",
    );
    style.extend(kinds.iter().map(|kind| colours(*kind, kind.light())));
    style.push_str(
        "@media (prefers-color-scheme: dark) {\n\
         .page { fill: #16181d; }\n\
         .legend { fill: #9aa1ac; }\n\
         .edges path { stroke: #666d79; }\n\
         .knot { fill: #666d79; }\n\
         .edges .success { stroke: #4d535d; }\n\
         .edges .end { stroke: #d9798a; }\n",
    );
    style.extend(kinds.iter().map(|kind| colours(*kind, dark(*kind))));
    style.push_str("}\n</style>\n");
    style
}

fn colours(kind: Colour, [fill, line, text]: [&str; 3]) -> String {
    let class = kind.class();
    let boxes = format!(".{class} > .box {{ fill: {fill}; stroke: {line}; }}");
    format!("{boxes} .{class} > .name, .{class} > .detail {{ fill: {text}; }}\n")
}

/// Background, border, and text of boxes on a dark page.
const fn dark(kind: Colour) -> [&'static str; 3] {
    match kind {
        Colour::Target => ["#202a3d", "#6f90cc", "#dbe6fa"],
        Colour::Group => ["#24262b", "#7f848e", "#d7d9de"],
        Colour::Skip => ["#1c1e22", "#4b4f57", "#8f949e"],
        Colour::Build => ["#362a15", "#d29a41", "#f8e7c9"],
        Colour::Check => ["#15302a", "#4cb08c", "#cdf2e4"],
        Colour::Publish => ["#2a2140", "#a17fd6", "#e8dcfb"],
        Colour::Stage => ["#3b1c23", "#d9798a", "#fbdce1"],
        Colour::Failed => ["#431a1d", "#f0707a", "#ffdfe1"],
        Colour::Stopped => ["#3b2813", "#e09a4f", "#fae5cd"],
        Colour::Ran => ["#182843", "#6c9bf0", "#dbe7fd"],
        Colour::Restored => ["#12302c", "#4cb5a6", "#cdf2ec"],
        Colour::Present => ["#22252a", "#6f757f", "#c9cdd4"],
        Colour::NotRun => ["#16181d", "#4b4f57", "#8f949e"],
    }
}
