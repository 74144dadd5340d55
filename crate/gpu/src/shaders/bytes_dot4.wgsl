// Bytes by bytes, four products in an instruction.
alias Sums = vec4<i32>;
const ONES = 0x01010101u;

fn open(a: Kept) -> u32 {
    return a;
}

fn four(word: u32) -> u32 {
    return word;
}

fn product(w: u32, a: u32) -> i32 {
    return dot4I8Packed(w, a);
}
