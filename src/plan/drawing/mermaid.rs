//! Mermaid flowcharts, which forges draw in Markdown.

use std::fmt::Write;

use crate::plan::drawing::{Box, Drawing, Node, kinds};
use crate::plan::{NeedKind, Plan};

/// The plan as a Mermaid flowchart.
#[must_use]
pub fn mermaid(plan: &Plan) -> String {
    let drawing = Drawing::new(plan);
    let mut out = String::from("flowchart LR\n");
    for (at, node) in drawing.nodes.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = match node {
            Node::Step(step) => writeln!(out, "  n{at}(\"{}\"):::{}", label(step), step.kind.class()),
            Node::Knot => writeln!(out, "  n{at}(( ))"),
        };
    }
    for (from, to, kind) in &drawing.edges {
        let arrow = match kind {
            NeedKind::Product => "-->",
            NeedKind::Success => "-.->",
            NeedKind::End => "-. ends .->",
        };
        let _ = writeln!(out, "  n{from} {arrow} n{to}");
    }
    for kind in kinds(&drawing) {
        let [fill, line, text] = kind.light();
        let _ = writeln!(out, "  classDef {} fill:{fill},stroke:{line},color:{text}", kind.class());
    }
    for (at, step) in drawing.boxes().filter(|(_, step)| !step.available || step.goal) {
        let width = if step.goal { "2px" } else { "1px" };
        let dash = if step.available { "" } else { ",stroke-dasharray:4 3" };
        let _ = writeln!(out, "  style n{at} stroke-width:{width}{dash}");
    }
    out
}

fn label(step: &Box) -> String {
    let name = escaped(&step.name);
    if step.detail.is_empty() { name } else { format!("{name}<br/>{}", escaped(&step.detail)) }
}

/// Mermaid reads HTML in labels, with `#` in place of `&` for what stands for
/// a character.
fn escaped(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " -_./:=,+@".contains(c);
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!("#{};", u32::from(c)) }).collect()
}
