//! However a release.kdl is spelled, it means the same; and formatted it means
//! what it meant.

use hoist::config::{LoadedDocument, ProjectPath, decode};
use hoist::diagnostic::Sources;
use proptest::prelude::*;
use regex::Regex;

/// Nodes that a file may have, each with the names and strings in `⟨…⟩`, and its
/// parts on lines of their own. They fit together in any selection.
const NODES: &[&str] = &[
    "var ⟨v⟩ ⟨1⟩ env=⟨V⟩ about=⟨A variable⟩",
    "settings {\nshell ⟨sh⟩ ⟨-euc⟩\njobs 4\ntimeout ⟨30m⟩\n}",
    "dotenv ⟨.env⟩",
    "pool ⟨db⟩ 2",
    "target ⟨a⟩ about=⟨Make \"a\" \\ b⟩ {\nrun ⟨cat $HOME > out/a⟩\nrun ⟨echo⟩ ⟨{{x}} {project}⟩\ninputs ⟨src/**⟩ ⟨!src/x⟩\n\
     outputs ⟨out/a⟩\nenv K=⟨{user}⟩ L=⟨\t⟩\n}",
    "target ⟨b⟩ {\nrun ⟨true⟩\nretries 2\ntimeout ⟨10m⟩\nprivate\npass-env ⟨TOKEN⟩ ⟨OTHER⟩\ntool ⟨cc --version⟩\n}",
    "target ⟨c⟩ {\nmatrix {\np ⟨3.11⟩ ⟨3.12⟩\nq ⟨x⟩\n}\nrun ⟨echo⟩ ⟨{p}-{q}⟩\nwhen env=⟨CI⟩\n}",
    "target ⟨d⟩ {\n}",
    "image ⟨i⟩ {\nassemble from=⟨scratch⟩ {\nlayer {\ncopy ⟨dist⟩ ⟨/srv⟩ mode=⟨0755⟩ exclude=⟨**/*.map⟩\n}\nentrypoint ⟨/srv/x⟩\n\
     env P=⟨80⟩\n}\nplatforms ⟨linux/amd64⟩ ⟨linux/arm64⟩\nbudget size=⟨20MB⟩ layers=1\nexpect user=⟨!root⟩\n}",
    "tags ⟨mine⟩ {\nsemver ⟨{version}⟩ ⟨{major}⟩ prefix=⟨v⟩\nlatest branch=⟨main⟩\nsha short=#true\n}",
    "registry ⟨r⟩ ⟨oci:dist/images⟩",
];

/// How one text is spelled.
#[derive(Clone, Debug)]
struct Spelling {
    strings: Vec<usize>,
    ends: Vec<usize>,
    gaps: Vec<usize>,
}

fn string(text: &str, way: usize) -> String {
    let escaped = || text.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t");
    match way {
        0 => format!("#\"{text}\"#"),
        1 => format!("\"\"\"\n      {}\n      \"\"\"", escaped()),
        2 => format!("##\"{text}\"##"),
        3 => {
            text.chars()
                .map(|c| format!("\\u{{{:x}}}", u32::from(c)))
                .fold(String::from("\""), |all, c| all + &c)
                + "\""
        }
        _ => format!("\"{}\"", escaped()),
    }
}

/// The nodes, spelled in one way.
fn spelled(nodes: &[&str], spelling: &Spelling) -> String {
    let (mut strings, mut ends, mut gaps) =
        (spelling.strings.iter().cycle(), spelling.ends.iter().cycle(), spelling.gaps.iter().cycle());
    let mut text = String::new();
    let mut inside: Option<String> = None;
    for c in nodes.join("\n").chars() {
        match (c, &mut inside) {
            ('⟨', _) => inside = Some(String::new()),
            ('⟩', Some(_)) => {
                let word = inside.take().unwrap_or_default();
                text.push_str(&string(&word, *strings.next().unwrap()));
            }
            (c, Some(word)) => word.push(c),
            ('\n', None) if text.ends_with('{') => {
                text.push_str(["\n", " ", " // c\n", "\n\n\n"][ends.next().unwrap() % 4]);
            }
            ('\n', None) => text.push_str(
                ["\n", ";", " // c\n", "\n\n\t/- skipped {\n x 1\n}\n", ";\n"][*ends.next().unwrap()],
            ),
            (' ', None) => {
                text.push_str([" ", "\t ", " /* c */ ", " \\\n   ", " /-#true "][*gaps.next().unwrap()]);
            }
            (c, None) => text.push(c),
        }
    }
    text
}

/// What a text means, as it is printed, without the places in the text.
fn meaning(text: &str) -> String {
    let mut sources = Sources::new();
    let source = sources.add("release.kdl", text);
    let document =
        hoist::syntax::parse(source, text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    let path = ProjectPath::root().join("release.kdl").unwrap();
    let loaded = LoadedDocument { document, path, prefix: String::new() };
    let release = decode(&[loaded], "demo").unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    let place = Regex::new(r"Span \{ source: SourceId\(\d+\), start: \d+, end: \d+ \}").unwrap();
    place.replace_all(&format!("{release:?}"), "_").into_owned()
}

fn formatted(text: &str) -> String {
    let source = Sources::new().add("release.kdl", text);
    hoist::syntax::format(source, text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let ways = |count: usize| prop::collection::vec(0..count, 1..40);
    (ways(6), ways(5), ways(5)).prop_map(|(strings, ends, gaps)| Spelling { strings, ends, gaps })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_means_the_same_however_it_is_spelled_and_when_it_is_formatted(
        nodes in prop::sample::subsequence(NODES, 1..=NODES.len()),
        spelling in spelling(),
    ) {
        let plain = Spelling { strings: vec![5], ends: vec![0], gaps: vec![0] };
        let meant = meaning(&spelled(&nodes, &plain));
        let text = spelled(&nodes, &spelling);
        prop_assert_eq!(&meaning(&text), &meant, "{}", text);
        let once = formatted(&text);
        prop_assert_eq!(&meaning(&once), &meant, "{}", once);
        prop_assert_eq!(formatted(&once), once);
    }
}
