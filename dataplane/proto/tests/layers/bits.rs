//! A bit writer of the tests' own, most significant bit first.

#[derive(Default)]
pub(crate) struct Bits(Vec<bool>);

impl Bits {
    /// The low `count` bits of `value`.
    pub(crate) fn put(&mut self, value: u32, count: u32) -> &mut Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 != 0));
        self
    }

    /// ns(n) of AV1 RTP specification v1.0.0, appendix A.8.2.
    pub(crate) fn put_below(&mut self, value: u32, values: u32) -> &mut Self {
        let width = u32::BITS - values.leading_zeros();
        let short = (1 << width) - values;
        if value < short { self.put(value, width - 1) } else { self.put(value + short, width) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let pack = |bits: &[bool]| {
            bits.iter()
                .enumerate()
                .fold(0, |byte, (place, bit)| byte | u8::from(*bit) << (7 - place))
        };
        self.0.chunks(8).map(pack).collect()
    }
}
