//! Reading what callgrind wrote: the instructions of each function itself (callees excluded).
//! Format: the "Callgrind Format Specification" of the Valgrind manual. Called by `instructions`.

use std::collections::HashMap;

/// Instructions by function.
#[derive(Default, Debug)]
pub(crate) struct Profile {
    functions: HashMap<String, u64>,
}

impl Profile {
    /// Reads a profile. Lines that are not understood count nothing.
    pub(crate) fn read(text: &str) -> Self {
        let mut names: HashMap<&str, &str> = HashMap::new();
        let mut functions: HashMap<String, u64> = HashMap::new();
        let mut function = "";
        let mut is_call = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                function = full(name, &mut names);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                full(name, &mut names);
            } else if line.starts_with("calls=") {
                // The line behind it is what the callee cost, which is counted at the callee.
                is_call = true;
            } else if line
                .starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
            {
                let cost = line.split_whitespace().nth(1).and_then(|cost| cost.parse().ok());
                if !std::mem::take(&mut is_call) {
                    *functions.entry(function.to_owned()).or_default() += cost.unwrap_or(0u64);
                }
            }
        }
        Self { functions }
    }

    /// All instructions.
    pub(crate) fn total(&self) -> u64 {
        self.functions.values().sum()
    }

    /// The instructions of the functions whose names have one of `parts` in them.
    pub(crate) fn of(&self, parts: &[&str]) -> u64 {
        let wanted = |name: &str| parts.iter().any(|part| name.contains(part));
        self.functions.iter().filter(|(name, _)| wanted(name)).map(|(_, cost)| cost).sum()
    }

    /// The `count` dearest functions, dearest first.
    pub(crate) fn dearest(&self, count: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<_> = self.functions.iter().map(|(name, cost)| (&**name, *cost)).collect();
        all.sort_by_key(|(name, cost)| (std::cmp::Reverse(*cost), *name));
        all.truncate(count);
        all
    }
}

/// The name behind `(number) name`, or the one that number had before.
fn full<'a>(text: &'a str, names: &mut HashMap<&'a str, &'a str>) -> &'a str {
    match text.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            name
        }
        None => names.get(text).copied().unwrap_or(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the format's specification, with a second mention of a function.
    const TEXT: &str = "\
events: Ir
fl=(1) file1.c
fn=(1) main
16 400
cfn=(2) aes_gcm
calls=1 50
16 400
+1 40
fn=(2)
51 100
* 300
fn=(1)
20 5
totals: 845
";

    #[test]
    fn a_function_has_its_own_cost_and_not_that_of_its_callees() {
        let profile = Profile::read(TEXT);
        assert_eq!(profile.total(), 845);
        assert_eq!(profile.of(&["gcm"]), 400);
        assert_eq!(profile.dearest(1), [("main", 445)]);
    }
}
