#![no_main]

use data_process::texts::{LONGEST_TEXT, Template, attribute_text, relation_text};
use data_process::values;

// A name, a datatype and a value, separated by line ends.
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.splitn(3, '\n');
    let name = lines.next().unwrap_or_default();
    let datatype = lines.next();
    let value = lines.next().unwrap_or_default();
    let facts = [(name, value), (name, ""), (value, name)];
    let facts = facts.map(|(name, value)| (name, value, values::parse(name, datatype, value)));
    for template in Template::ALL {
        let text = attribute_text(facts.into_iter(), template);
        assert!(text.is_none_or(|text| text.len() <= LONGEST_TEXT));
        relation_text(name, template);
    }
});
