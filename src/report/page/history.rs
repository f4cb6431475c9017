//! The runs before.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::report::document::escape;
use crate::report::measured::measured;
use crate::report::page::{percent, result, time};
use crate::report::story::Story;
use crate::run::ImageFigures;

/// What is kept in mind of a run, to compare another one with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    run: String,
    begun: Option<Timestamp>,
    goals: String,
    class: &'static str,
    word: String,
    sum: String,
    milliseconds: u64,
    /// Image, platform, and bytes to transfer.
    images: Vec<(String, String, u64)>,
}

impl Past {
    /// What a story tells of its run.
    #[must_use]
    pub fn of(story: &Story) -> Self {
        let (class, word) = result(story);
        let images = measured(story).into_iter().map(|one| one.figures);
        Self {
            run: story.started.as_ref().map(|started| started.run.clone()).unwrap_or_default(),
            begun: story.begun,
            goals: story.goals(),
            class,
            word,
            sum: story.sum(),
            milliseconds: story.milliseconds(),
            images: images.map(|image| (image.image, image.platform, image.transferred)).collect(),
        }
    }

    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// The bytes to transfer of the same image in that run.
    pub(super) fn size_of(&self, of: &ImageFigures) -> Option<u64> {
        let same =
            |(image, platform, _): &&(String, String, u64)| *image == of.image && *platform == of.platform;
        self.images.iter().find(same).map(|(_, _, size)| *size)
    }
}

/// This run and those before it, the newest first, with how long each took.
pub(super) fn section(story: &Story, before: &[Past]) -> String {
    if before.is_empty() {
        return String::new();
    }
    let this = Past::of(story);
    let all = || std::iter::once(&this).chain(before);
    let longest = all().map(|past| past.milliseconds).max().unwrap_or(0);
    let mut out = "<div class=\"wide\"><table class=\"history\">\n\
                   <tr><th>run<th>began<th>goals<th>result<th class=\"n\">time<th class=\"length\"><th>steps\n"
        .to_owned();
    for (at, past) in all().enumerate() {
        let begun = past.begun.map(|begun| begun.strftime("%Y-%m-%d %H:%M UTC").to_string());
        let _ = writeln!(
            out,
            "<tr{}><td><code>{}</code><td class=\"when\">{}<td class=\"by\">{}<td><em class=\"pill {class}\">{}</em>\
             <td class=\"n\">{}<td class=\"length\"><i class=\"{class}\" style=\"width:{:.1}%\"></i><td class=\"by\">{}",
            if at == 0 { " class=\"this\"" } else { "" },
            escape(&past.run),
            begun.unwrap_or_default(),
            if past.goals.is_empty() { "(default)".to_owned() } else { escape(&past.goals) },
            past.word,
            time(past.milliseconds),
            percent(past.milliseconds, longest),
            escape(&past.sum),
            class = past.class,
        );
    }
    out.push_str("</table></div>\n");
    out
}
