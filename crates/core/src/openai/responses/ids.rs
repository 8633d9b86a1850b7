//! Ids of items: of the answer's own making, so that an item leads to its answer.

/// What is unique in an id.
const UNIQUE: usize = 24;

/// What stands before what is unique in the id of an answer.
pub(crate) const RESPONSE: &str = "resp_";

/// What is unique in an answer's id.
pub(super) fn unique(response: &str) -> &str {
    let unique = response.strip_prefix(RESPONSE).unwrap_or(response);
    let from = unique.len().saturating_sub(UNIQUE);
    unique.get(from..).unwrap_or(unique)
}

/// The id of the item of this number in the output of an answer.
pub(super) fn of_output(kind: &str, response: &str, number: usize) -> String {
    format!("{kind}_{}{number:04x}", unique(response))
}

/// The id of the item of this number in the input of an answer.
pub(super) fn of_input(kind: &str, response: &str, number: usize) -> String {
    format!("{kind}_{}i{number:04x}", unique(response))
}

/// Which item of its answer an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Input(usize),
    Output(usize),
}

/// The answer that an item belongs to and its place in it, if the id is of this making.
pub(super) fn place_of(item: &str) -> Option<(String, Place)> {
    let (_, rest) = item.rsplit_once('_')?;
    let (unique, place) = rest.split_at_checked(UNIQUE)?;
    let number = |digits: &str| usize::from_str_radix(digits, 16).ok();
    let place = match place.strip_prefix('i') {
        Some(digits) => Place::Input(number(digits)?),
        None => Place::Output(number(place)?),
    };
    Some((format!("{RESPONSE}{unique}"), place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_lead_to_their_answer() {
        let response = "resp_0123456789abcdef01234567";
        for (id, place) in [
            (of_output("msg", response, 0), Place::Output(0)),
            (of_output("ig", response, 70_000), Place::Output(70_000)),
            (of_input("msg", response, 3), Place::Input(3)),
        ] {
            assert_eq!(place_of(&id), Some((response.to_owned(), place)), "{id}");
        }
        for foreign in [
            "msg_1",
            "é",
            "msg_0123456789abcdef01234567",
            "msg_0123456789abcdef01234567x",
            "msg_aéééééééééééé",
        ] {
            assert_eq!(place_of(foreign), None, "{foreign}");
        }
    }
}
