// The search for the codes of a group, as `packed.choose_codes` defines it.
//
// Included by the file of each instruction set, after vectors.h.

inline Floats rounded(const Floats& x) {  // to the nearest, ties to even, for |x| < 2^22
    const Floats big = all(12582912.0f);
    return (x + big) - big;
}

inline Floats code_of(const Floats& x, float inverse, float low, float high) {
    const Floats code = rounded(x * inverse);
    const Floats above = code > all(low) ? code : all(low);
    return above < all(high) ? above : all(high);
}

// x: [group], a multiple of 16 and at most 128. The scale is no number where one of them is none.
uint16_t choose_group(const Choice& choice, const float* x, uint8_t* codes) {
    const int group = choice.group, tries = choice.tries;
    const float low = float(choice.low), high = float(choice.high);
    float extreme = 0;
    for (int k = 0; k < group; ++k)
        if (std::fabs(x[k]) > std::fabs(extreme)) extreme = x[k];
    float whole = extreme / low;
    if (tries == 1) {
        float other = 0;
        for (int k = 0; k < group; ++k) other = std::max(other, extreme > 0 ? -x[k] : x[k]);
        if (other / high > std::fabs(whole)) whole = std::copysign(other / high, whole);
    }
    float best = NAN, least = INFINITY;  // an error that is no number is never the least
    for (int step = 0; step < tries; ++step) {
        float scale = whole;
        if (tries > 1) {
            const float span = choice.widest - choice.narrowest;
            scale = whole * (choice.widest - span * float(step) / float(tries));
            const float inverse = scale == 0 ? 0 : 1 / scale;
            Floats products = {}, squares = {};
            for (int k = 0; k < group; k += WIDTH) {
                const Floats value = at<Floats>(x + k), code = code_of(value, inverse, low, high);
                products += code * value;
                squares += code * code;
            }
            scale = sum_of(products) / std::max(sum_of(squares), 1.0f);
        }
        scale = _cvtsh_ss(_cvtss_sh(scale, 0));
        const float inverse = scale == 0 ? 0 : 1 / scale;
        Floats errors = {};
        for (int k = 0; k < group; k += WIDTH) {
            const Floats value = at<Floats>(x + k);
            const Floats error = code_of(value, inverse, low, high) * scale - value;
            errors += error * error;
        }
        const float error = sum_of(errors);
        if (error < least) {
            least = error;
            best = scale;
        }
    }
    const float inverse = best == 0 ? 0 : 1 / best;
    for (int k = 0; k < group; k += WIDTH) {
        const Floats code = code_of(at<Floats>(x + k), inverse, low, high) + all(float(choice.middle));
        for (int i = 0; i < WIDTH; ++i) codes[k + i] = uint8_t(code[i]);
    }
    return uint16_t(_cvtss_sh(best, 0));
}
