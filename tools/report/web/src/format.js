// Numbers as texts with units.

const trimmed = (value, digits) => Number(value.toPrecision(digits));

// Four significant digits, but all of a larger number.
export function plain(value) {
    const size = Math.abs(value);
    if (size >= 1000) {
        return Math.round(value).toLocaleString('en-US').replaceAll(',', '\u202f');
    }
    return String(trimmed(value, 4));
}

function scaled(value, scales) {
    const size = Math.abs(value);
    const [factor, unit] = scales.find(([f]) => size >= f) ?? scales[scales.length - 1];
    return `${Number((value / factor).toPrecision(4))} ${unit}`;
}

export const seconds = (value) =>
    value === 0
        ? '0 s'
        : scaled(value, [
              [1, 's'],
              [1e-3, 'ms'],
              [1e-6, 'µs'],
              [1e-9, 'ns'],
          ]);
export const bytes = (value) =>
    value === 0
        ? '0 B'
        : scaled(value, [
              [1e12, 'TB'],
              [1e9, 'GB'],
              [1e6, 'MB'],
              [1e3, 'kB'],
              [1, 'B'],
          ]);
export const count = (value) =>
    value === 0
        ? '0'
        : scaled(value, [
              [1e12, 'T'],
              [1e9, 'G'],
              [1e6, 'M'],
              [1e3, 'k'],
              [1, ''],
              [0, ''],
          ]).trim();
export const share = (value) => `${(value * 100).toFixed(1)} %`;
export const percent = (value) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)} %`;
export const usd = (value) => `${plain(value)} USD`;
export const gbPerS = (value) => `${plain(value)} GB/s`;
export const kilobytes = (value) => `${plain(value / 1e3)} kB`;
export const unit = (name) => (value) => `${plain(value)} ${name}`;

// "one_f_one_b" -> words.
const words = {
    one_f_one_b: 'overlapped F&B',
    backward_input: 'backward, input',
    backward_weight: 'backward, weight',
    hbm: 'HBM',
    nvlink: 'NVLink',
    comm_sms: 'communication SMs',
    activations_peak: 'activations, peak',
    rest: 'rest (overhead, latency, waits)',
};
export const label = (key) => words[key] ?? key.replaceAll('_', ' ');
