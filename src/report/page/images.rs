//! The images of a run, and what was measured of them.

use std::fmt::Write as _;

use crate::diagnostic::{bytes, counted};
use crate::report::document::{COLOURS, LAYERS, escape, layer};
use crate::report::measured::{Measured, amount, bounds, growth_words, measured, reused_words};
use crate::report::page::history::Past;
use crate::report::page::{Sheet, percent, time};
use crate::run::{Bound, ImageFigures, TagMove};

/// Most images that are shown.
const SHOWN: usize = 60;
/// Most tags that are listed.
const TAGS: usize = 300;

pub(super) fn section(sheet: &Sheet<'_>, before: &[Past]) -> String {
    let mut out = String::new();
    let all = measured(sheet.story);
    for image in all.iter().take(SHOWN) {
        card(&mut out, sheet, image, before);
    }
    if all.len() > SHOWN {
        let _ = writeln!(out, "<p class=\"hint\">and {} more</p>", all.len() - SHOWN);
    }
    tags(&mut out, sheet);
    out
}

fn card(out: &mut String, sheet: &Sheet<'_>, image: &Measured<'_>, before: &[Past]) {
    let figures = &image.figures;
    let _ = write!(
        out,
        "<article>\n<h3>{} <small>{}</small></h3>\n<p class=\"digest\">{}</p>\n<dl class=\"tiles\">",
        escape(&figures.image),
        escape(&figures.platform),
        escape(&figures.digest)
    );
    tiles(out, image);
    out.push_str("</dl>\n");
    if let Some(budget) = &figures.budget {
        out.push_str("<div class=\"budget\">");
        for (name, bound) in bounds(budget) {
            meter(out, name, bound);
        }
        out.push_str("</div>\n");
    }
    layers(out, figures);
    trend(out, figures, before);
    let made = image.maker.map(|(step, _)| format!("Made by {}. ", sheet.link(step)));
    let _ = writeln!(
        out,
        "<p class=\"hint\">{}<code>hoist inspect {} --html FILE</code> draws its files.</p>",
        made.unwrap_or_default(),
        escape(&figures.image)
    );
    out.push_str("</article>\n");
}

fn tiles(out: &mut String, image: &Measured<'_>) {
    let figures = &image.figures;
    let mut tile = |name: &str, value: String, more: String| {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd><dd>{more}</dd></div>");
    };
    let change = figures.growth().map(growth_words).zip(figures.before.as_ref());
    let change = change.map(|(growth, before)| {
        let since =
            before.released.as_ref().and_then(|time| time.get(..10)).map(|day| format!(", {}", escape(day)));
        format!("{growth} since {}{}", escape(&before.name), since.unwrap_or_default())
    });
    let change = change.unwrap_or_default();
    // What was compared stands above its change.
    let of_files = figures.size.is_some() && figures.before.as_ref().is_none_or(|one| one.size.is_some());
    let (of_size, of_transfer) = if of_files { (change, String::new()) } else { (String::new(), change) };
    if let Some(size) = figures.size {
        tile("size", bytes(size), of_size);
    }
    tile("to transfer", bytes(figures.transferred), of_transfer);
    let layers = figures.before.as_ref().map(|before| format!("{} before", before.layers));
    tile("layers", figures.layers.len().to_string(), layers.unwrap_or_default());
    if let Some(reused) = figures.reused {
        tile("reused", format!("{} %", reused.percent()), reused_words(reused));
    }
    match (image.built(), image.maker) {
        (Some(built), _) => {
            let queued = image.queued().map(|queued| format!("waited {} before", time(queued)));
            tile("built in", time(built), queued.unwrap_or_default());
        }
        (None, Some((_, maker))) => tile("built", "not again".to_owned(), maker.word().to_owned()),
        (None, None) => {}
    }
    if let Some(wasted) = figures.wasted {
        let share = figures.size.map(|size| format!("{:.1} % of its size", percent(wasted, size)));
        tile("wasted", bytes(wasted), share.unwrap_or_default());
    }
}

/// How much of a bound is used.
fn meter(out: &mut String, name: &str, bound: Bound) {
    let left = bound.left();
    let (class, word) = if left < 0 { (" class=\"over\"", "over") } else { ("", "left") };
    let left = amount(name, u64::try_from(left.unsigned_abs()).unwrap_or(u64::MAX));
    let _ = write!(
        out,
        "<div{class}><span>{name}</span><div class=\"meter\"><i style=\"width:{:.2}%\"></i></div>\
         <span>{} of {}, <b>{left} {word}</b></span></div>",
        if bound.most == 0 && bound.used > 0 { 100.0 } else { percent(bound.used, bound.most) },
        amount(name, bound.used),
        amount(name, bound.most),
    );
}

/// The layers in proportion, and what made them.
fn layers(out: &mut String, figures: &ImageFigures) {
    if figures.layers.is_empty() {
        return;
    }
    out.push_str("<div class=\"layers\">");
    let size = |at: usize| figures.layers.get(at).map_or(0, |layer| layer.size.unwrap_or(layer.transferred));
    for at in 0..figures.layers.len() {
        let size = size(at);
        let _ = write!(
            out,
            "<i class=\"l{}\" style=\"flex:{size} 1 2px\" title=\"layer {}, {}\"></i>",
            at % COLOURS,
            at + 1,
            bytes(size)
        );
    }
    let _ = write!(
        out,
        "</div>\n<details{}><summary>{}</summary><div class=\"wide\"><table>\n{LAYERS}",
        if figures.layers.len() <= 4 { " open" } else { "" },
        counted(figures.layers.len(), "layer")
    );
    for (at, one) in figures.layers.iter().enumerate() {
        let digest = one.digest.strip_prefix("sha256:").unwrap_or(&one.digest);
        let digest = escape(&digest.chars().take(12).collect::<String>());
        let by = escape(one.created_by.as_deref().unwrap_or_default());
        layer(out, at, one.size, one.transferred, &digest, &by);
    }
    out.push_str("</table></div></details>\n");
}

/// The bytes to transfer in this run and in those before, the oldest first.
fn trend(out: &mut String, figures: &ImageFigures, before: &[Past]) {
    let mut sizes: Vec<(&str, u64)> =
        before.iter().rev().filter_map(|past| Some((past.run(), past.size_of(figures)?))).collect();
    if sizes.is_empty() {
        return;
    }
    sizes.push(("this run", figures.transferred));
    let most = sizes.iter().map(|(_, size)| *size).max().unwrap_or(0);
    out.push_str("<div class=\"trend\"><span>to transfer, over the last runs</span><div>");
    for (run, size) in sizes {
        let _ = write!(
            out,
            "<i style=\"height:{:.1}%\" title=\"{}: {}\"></i>",
            percent(size, most),
            escape(run),
            bytes(size)
        );
    }
    out.push_str("</div></div>\n");
}

/// What became of tags.
fn tags(out: &mut String, sheet: &Sheet<'_>) {
    let all = || sheet.story.told().flat_map(|(_, part)| part.end.iter().flat_map(|end| &end.tags));
    if all().next().is_none() {
        return;
    }
    out.push_str("<h3>Tags</h3>\n<div class=\"wide\"><table>\n<tr><th>tag<th>digest<th>what became of it\n");
    for tag in all().take(TAGS) {
        let name = escape(&format!("{}:{}", tag.repository, tag.tag));
        let _ = writeln!(
            out,
            "<tr><td class=\"by\"><code>{name}</code><td><code title=\"{}\">{}</code><td>{}",
            escape(&tag.to),
            escape(&tag.to.chars().take(19).collect::<String>()),
            became(tag)
        );
    }
    out.push_str("</table></div>\n");
    let more = all().count().saturating_sub(TAGS);
    if more > 0 {
        let _ = writeln!(out, "<p class=\"hint\">and {more} more</p>");
    }
}

fn became(tag: &TagMove) -> String {
    match (&tag.kept, &tag.from) {
        (Some(reason), _) => format!("left where it is: {}", escape(reason)),
        (None, Some(from)) if *from == tag.to => "as it was".to_owned(),
        (None, Some(from)) => {
            format!("moved from <code>{}</code>", escape(&from.chars().take(19).collect::<String>()))
        }
        (None, None) => "new".to_owned(),
    }
}
