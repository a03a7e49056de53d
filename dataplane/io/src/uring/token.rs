//! What a completion belongs to: the 64 bits the kernel carries from a submission to its
//! completion. Kind in the upper half, number in the lower.

/// What was submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Token {
    /// The multishot receive of a socket (its index).
    Receive(u32),
    /// A message; the first slot of its run.
    Send(u32),
    /// The read of the waker's event.
    Wake,
    /// A cancellation.
    Cancel,
    /// The poll of the watched descriptor.
    Watch,
}

impl Token {
    /// The token as the kernel carries it.
    pub(crate) fn encode(self) -> u64 {
        let (kind, number) = match self {
            Token::Receive(socket) => (1, socket),
            Token::Send(slot) => (2, slot),
            Token::Wake => (3, 0),
            Token::Cancel => (4, 0),
            Token::Watch => (5, 0),
        };
        kind << 32 | u64::from(number)
    }

    /// The token back; None for bits that no token has.
    pub(crate) fn decode(bits: u64) -> Option<Self> {
        let number = bits as u32;
        match bits >> 32 {
            1 => Some(Token::Receive(number)),
            2 => Some(Token::Send(number)),
            3 => Some(Token::Wake),
            4 => Some(Token::Cancel),
            5 => Some(Token::Watch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_there_and_back() {
        let kinds = [Token::Wake, Token::Cancel, Token::Watch];
        let tokens = [Token::Receive(1), Token::Send(u32::MAX)].into_iter().chain(kinds);
        for token in tokens {
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
        assert_eq!(Token::decode(0), None);
        assert_eq!(Token::decode(u64::MAX), None);
    }
}
