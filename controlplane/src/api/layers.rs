//! Simulcast settings of a subscription to the data plane's [`LayerChoice`].
//!
//! Called when a subscription is made, updated or re-pointed. A wish goes by the RID's name and is
//! looked up anew in each publication it meets; it never fails for want of that RID, because one
//! wish travels with an application from publisher to publisher:
//!
//! | `preferredRid` | the publication | shown |
//! |---|---|---|
//! | absent or empty | any | automatic: what the subscriber's bandwidth carries |
//! | any | has no RIDs | its only encoding |
//! | one it has | has RIDs | that one; others as the two policies allow |
//! | one it lacks | `ridNotAvailable: none` | automatic, as there is nothing to hold on to |
//! | one it lacks | `ridNotAvailable: asciibetical` | the next RID behind it, else the last one |
//!
//! `priorityOrdering` and `ridNotAvailable` are `none` unless given; `asciibetical` orders RIDs by
//! their bytes, the first is the best. RFC 8851 (RIDs).

use common::command::{Encoding, LayerChoice};

use crate::error::ItemError;
use crate::wire::Simulcast;

/// Whether a policy lets another encoding take the place of the preferred one.
///
/// Errors: [`ItemError::InvalidParams`] with the field's name for an unknown value.
fn policy(field: &str, value: Option<&String>) -> Result<bool, ItemError> {
    match value.map(String::as_str) {
        None | Some("none") => Ok(false),
        Some("asciibetical") => Ok(true),
        Some(_) => {
            let text = format!("simulcast.{field}: must be none or asciibetical");
            Err(ItemError::InvalidParams(text))
        }
    }
}

/// Checks the values of a request.
///
/// Errors: [`ItemError::InvalidParams`] with the field's name.
pub(super) fn check(simulcast: Option<&Simulcast>) -> Result<(), ItemError> {
    let Some(simulcast) = simulcast else { return Ok(()) };
    policy("priorityOrdering", simulcast.priority_ordering.as_ref())?;
    policy("ridNotAvailable", simulcast.rid_not_available.as_ref())?;
    Ok(())
}

/// What checked settings mean for a publication of these encodings.
pub(super) fn choice(encodings: &[Encoding], simulcast: Option<&Simulcast>) -> LayerChoice {
    wish(encodings, simulcast).unwrap_or_default()
}

/// The same; None is automatic.
fn wish(encodings: &[Encoding], simulcast: Option<&Simulcast>) -> Option<LayerChoice> {
    let simulcast = simulcast?;
    let wanted = simulcast.preferred_rid.as_deref().filter(|rid| !rid.is_empty())?.as_bytes();
    let step_down = policy("priorityOrdering", simulcast.priority_ordering.as_ref()).ok()?;
    let step_aside = policy("ridNotAvailable", simulcast.rid_not_available.as_ref()).ok()?;
    let mut named: Vec<(&[u8], u8)> = (0u8..)
        .zip(encodings)
        .filter_map(|(index, encoding)| Some((encoding.rid.as_ref()?.as_bytes(), index)))
        .collect();
    named.sort_unstable();
    let exact = named.iter().find(|(rid, _)| *rid == wanted);
    let next = || named.iter().find(|(rid, _)| *rid > wanted).or(named.last());
    let (_, preferred) = exact.or_else(|| next().filter(|_| step_aside))?;
    let order = named.iter().map(|(_, index)| *index).collect();
    Some(LayerChoice { preferred: Some(*preferred), order, step_down, step_aside })
}

#[cfg(test)]
mod tests {
    use common::media::Label;

    use super::*;

    fn encodings(rids: &[&str]) -> Vec<Encoding> {
        let encoding = |rid: &&str| Encoding {
            rid: (!rid.is_empty()).then(|| Label::new(rid.as_bytes())).flatten(),
            ssrc: None,
            rtx_ssrc: None,
        };
        rids.iter().map(encoding).collect()
    }

    fn settings(rid: &str, ordering: Option<&str>, not_available: Option<&str>) -> Simulcast {
        Simulcast {
            preferred_rid: Some(rid.to_owned()),
            priority_ordering: ordering.map(str::to_owned),
            rid_not_available: not_available.map(str::to_owned),
        }
    }

    fn preferred(rids: &[&str], simulcast: &Simulcast) -> Option<u8> {
        choice(&encodings(rids), Some(simulcast)).preferred
    }

    const ASCII: Option<&str> = Some("asciibetical");

    #[test]
    fn no_wish_is_automatic() {
        let three = encodings(&["f", "h", "q"]);
        let without_rid =
            Simulcast { rid_not_available: ASCII.map(str::to_owned), ..Simulcast::default() };
        let wishes =
            [None, Some(Simulcast::default()), Some(without_rid), Some(settings("", ASCII, ASCII))];
        for simulcast in wishes {
            assert_eq!(choice(&three, simulcast.as_ref()), LayerChoice::default());
        }
    }

    #[test]
    fn a_rid_is_pinned_unless_a_policy_says_otherwise() {
        // "high" sorts first and "medium" last, whatever their place in the offer.
        let three = encodings(&["low", "medium", "high"]);
        let order = vec![2, 0, 1];
        for (ordering, not_available, step_down, step_aside) in [
            (None, None, false, false),
            (Some("none"), Some("none"), false, false),
            (ASCII, None, true, false),
            (None, ASCII, false, true),
            (ASCII, ASCII, true, true),
        ] {
            let expected =
                LayerChoice { preferred: Some(0), order: order.clone(), step_down, step_aside };
            let simulcast = settings("low", ordering, not_available);
            assert_eq!(choice(&three, Some(&simulcast)), expected);
        }
    }

    #[test]
    fn a_rid_the_publication_lacks_holds_on_to_nothing_or_to_the_next() {
        assert_eq!(preferred(&["f", "h", "q"], &settings("a", None, None)), None);
        assert_eq!(preferred(&["f", "h", "q"], &settings("a", ASCII, None)), None);
        for (rid, expected) in [("a", 0), ("g", 1), ("i", 2), ("z", 2)] {
            let index = preferred(&["f", "h", "q"], &settings(rid, None, ASCII));
            assert_eq!(index, Some(expected), "{rid}");
        }
        assert_eq!(preferred(&["q", "f"], &settings("g", None, ASCII)), Some(0));
    }

    #[test]
    fn a_plain_track_has_nothing_to_choose() {
        assert_eq!(preferred(&[""], &settings("f", ASCII, ASCII)), None);
        assert_eq!(preferred(&[], &settings("f", ASCII, ASCII)), None);
    }

    #[test]
    fn an_unknown_policy_is_refused_by_name() {
        assert_eq!(check(None), Ok(()));
        assert_eq!(check(Some(&settings("f", ASCII, Some("none")))), Ok(()));
        let refusal = |simulcast: Simulcast| check(Some(&simulcast)).unwrap_err().parts();
        let (code, text) = refusal(settings("f", Some("ascii"), None));
        assert_eq!(code, "invalid_params");
        assert_eq!(text, "simulcast.priorityOrdering: must be none or asciibetical");
        let (_, text) = refusal(settings("", None, Some("")));
        assert_eq!(text, "simulcast.ridNotAvailable: must be none or asciibetical");
    }
}
