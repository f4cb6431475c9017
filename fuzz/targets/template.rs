//! Templates: in a command, where all names are known and where none are.
#![no_main]

use hoist::diagnostic::Sources;
use hoist::facts::Event;
use hoist::plan::Goals;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(template) = hoist_fuzz::text(data) else { return };
    let escaped = |c: char| {
        if c.is_ascii_graphic() && !"\"\\".contains(c) {
            c.to_string()
        } else {
            format!("\\u{{{:x}}}", u32::from(c))
        }
    };
    let escaped: String = template.chars().map(escaped).collect();
    let text = format!(
        "var \"v\" \"{{env.SET}}\"\ntarget \"a\" {{\n  matrix {{ m \"1\" \"2\"; }}\n  run \"echo\" \"{escaped}\"\n  \
         env K=\"{escaped}\"\n  inputs \"x\"\n}}\nimage \"i\" {{ assemble from=\"scratch\"; tags {{ raw \"{escaped}\"; }}; \
         push \"r\"; }}\nregistry \"r\" \"oci:{escaped}\"\n"
    );
    let mut sources = Sources::new();
    let release = match hoist_fuzz::release(&text, &mut sources) {
        Ok(release) => release,
        Err(problems) => return hoist_fuzz::check(&problems, &sources),
    };
    for event in [Event::Branch("feature/A".to_owned()), Event::Tag("v1.2.3".to_owned()), Event::Unnamed] {
        if let Err(problems) = hoist_fuzz::plan(&release, &Goals::All, event) {
            hoist_fuzz::check(&problems, &sources);
        }
    }
});
