//! What clients say on their data channels, and whether those that pulled them hear it: text and bytes,
//! empty ones too, in order, in messages of their own. Called by the tests.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stack::Stack;

/// Longest time until the last message is there.
const HEARD_MAX: Duration = Duration::from_secs(15);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Bytes of the largest messages: what SCTP's users may count on where nothing was negotiated (RFC 8841
/// section 6.1).
const LARGEST: usize = 65_536;

/// What a sender says, as messages.py has it; without the empty messages if it has none.
pub(crate) fn speech(sender: u64, empty: bool) -> Vec<Value> {
    let bytes = |length: usize| -> String {
        (0..length as u64).map(|at| format!("{:02x}", (at * 31 + sender) % 256)).collect()
    };
    let mut speech = vec![
        json!({ "text": format!("{sender} says ä€😀") }),
        json!({ "hex": bytes(3) }),
        json!({ "text": "" }),
        json!({ "hex": "" }),
        json!({ "hex": bytes(LARGEST) }),
        json!({ "text": sender.to_string().repeat(LARGEST)[..LARGEST] }),
        json!({ "text": "over" }),
    ];
    speech.retain(|message| empty || (message["text"] != "" && message["hex"] != ""));
    speech
}

/// Waits until each channel that a client pulled, in the order of its pulls, has brought what it should.
pub(crate) fn check(stack: &dyn Stack, expected: &[Vec<Value>]) -> Result<(), String> {
    let start = Instant::now();
    let mut heard = vec![Vec::new(); expected.len()];
    loop {
        let came = stack.call("heard", &[])?;
        for (heard, came) in heard.iter_mut().zip(came.as_array().into_iter().flatten()) {
            heard.extend(came.as_array().cloned().unwrap_or_default());
        }
        if heard == expected {
            return Ok(());
        }
        if start.elapsed() > HEARD_MAX {
            let told: Vec<String> = heard.iter().map(|one| outline(one)).collect();
            let wanted: Vec<String> = expected.iter().map(|one| outline(one)).collect();
            return Err(format!("should have heard {wanted:?} and heard {told:?}"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Messages short enough to read.
fn outline(messages: &[Value]) -> String {
    let one = |message: &Value| {
        let text = message.to_string();
        format!("{}({})", text.chars().take(30).collect::<String>(), text.len())
    };
    messages.iter().map(one).collect::<Vec<String>>().join(" ")
}
