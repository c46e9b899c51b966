//! How Redis writes a double: the fewest digits that read back as the same number, plain while that
//! stays short, with an exponent beyond (`fpconv_dtoa` of Redis 7.2).

use std::fmt::Write as _;

/// The longest text: a sign, 17 digits, a point and an exponent, or leading zeros.
const TEXT_BYTES_MAX: usize = 40;

/// The text of a double, on the stack.
#[derive(Clone)]
pub struct DoubleText {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl DoubleText {
    /// Writes `value` as Redis would.
    #[must_use]
    pub fn new(value: f64) -> Self {
        let mut text = Self::empty();
        if value.is_nan() {
            text.push(b"nan");
        } else if value.is_infinite() {
            text.push(if value > 0.0 { b"inf" } else { b"-inf" });
        } else if value == 0.0 {
            text.push(if value.is_sign_negative() {
                b"-0"
            } else {
                b"0"
            });
        } else if let Some(integer) = as_integer(value) {
            text.push(itoa::Buffer::new().format(integer).as_bytes());
        } else {
            text.push_digits(value);
        }
        text
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    fn empty() -> Self {
        Self {
            bytes: [0; TEXT_BYTES_MAX],
            length: 0,
        }
    }

    fn push(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        let place = self.bytes.get_mut(self.length..end);
        place
            .expect("a double's text fits its buffer")
            .copy_from_slice(part);
        self.length = end;
    }

    fn push_zeros(&mut self, count: i32) {
        for _ in 0..count {
            self.push(b"0");
        }
    }

    fn push_digits(&mut self, value: f64) {
        let digits = Digits::new(value);
        if digits.negative {
            self.push(b"-");
        }
        let count = digits.length as i32;
        // The value is `digits * 10^scale`.
        let scale = digits.exponent - (count - 1);
        if scale >= 0 && digits.exponent.abs() < count + 7 {
            self.push(digits.all());
            self.push_zeros(scale);
        } else if scale < 0 && (scale > -7 || digits.exponent.abs() < 4) {
            self.push_plain(&digits, count + scale);
        } else {
            self.push_scientific(&digits);
        }
    }

    /// Digits with a point before the `point`-th of them.
    fn push_plain(&mut self, digits: &Digits, point: i32) {
        if point <= 0 {
            self.push(b"0.");
            self.push_zeros(-point);
            self.push(digits.all());
        } else {
            let (whole, fraction) = digits.split(point as usize);
            self.push(whole);
            self.push(b".");
            self.push(fraction);
        }
    }

    fn push_scientific(&mut self, digits: &Digits) {
        let (first, rest) = digits.split(1);
        self.push(first);
        if !rest.is_empty() {
            self.push(b".");
            self.push(rest);
        }
        self.push(if digits.exponent < 0 { b"e-" } else { b"e+" });
        let mut exponent = itoa::Buffer::new();
        self.push(exponent.format(digits.exponent.unsigned_abs()).as_bytes());
    }
}

/// The integer that `value` is exactly, if a 64-bit one has room for it.
fn as_integer(value: f64) -> Option<i64> {
    // Redis stays below 2^63 on both sides; both bounds are doubles.
    let fits = value > -9_223_372_036_854_775_808.0 && value < 9_223_372_036_854_775_808.0;
    (fits && value.fract() == 0.0).then_some(value as i64)
}

/// The significant digits of a double and the power of ten of the first one.
struct Digits {
    bytes: [u8; 24],
    length: usize,
    exponent: i32,
    negative: bool,
}

impl Digits {
    fn new(value: f64) -> Self {
        let mut digits = Self {
            bytes: [0; 24],
            length: 0,
            exponent: 0,
            negative: value < 0.0,
        };
        let mut form = DoubleText::empty();
        write!(form, "{:e}", value.abs()).expect("a double's text fits its buffer");
        let mut bytes = form.as_bytes().iter();
        for byte in bytes.by_ref().take_while(|byte| **byte != b'e') {
            if let (true, Some(place)) =
                (byte.is_ascii_digit(), digits.bytes.get_mut(digits.length))
            {
                *place = *byte;
                digits.length += 1;
            }
        }
        let mut sign = 1;
        for byte in bytes {
            match byte {
                b'-' => sign = -1,
                digit => digits.exponent = digits.exponent * 10 + i32::from(digit - b'0'),
            }
        }
        digits.exponent *= sign;
        digits
    }

    fn all(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    fn split(&self, at: usize) -> (&[u8], &[u8]) {
        let all = self.all();
        all.split_at_checked(at).unwrap_or((all, &[]))
    }
}

impl std::fmt::Write for DoubleText {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        if self.length + part.len() > TEXT_BYTES_MAX {
            return Err(std::fmt::Error);
        }
        self.push(part.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: f64) -> String {
        String::from_utf8_lossy(DoubleText::new(value).as_bytes()).into_owned()
    }

    #[test]
    fn doubles_read_as_redis_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e17, "100000000000000000"),
            (1e19, "1e+19"),
            (1.5e300, "1.5e+300"),
            (1e-7, "1e-7"),
            (0.000_125, "0.000125"),
            (1e-6, "0.000001"),
            (1.25e-5, "1.25e-5"),
            (-1.234_567_89e-5, "-1.23456789e-5"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (std::f64::consts::PI, "3.141592653589793"),
        ];
        for (value, want) in cases {
            assert_eq!(text(value), want, "{value:e}");
        }
    }

    proptest! {
        #[test]
        fn every_double_fits_and_reads_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let read: f64 = text(value).parse().expect("a number");
            prop_assert!(read == value || (read.is_nan() && value.is_nan()));
        }
    }
}
