// Artillery's loops know no time; this one ends with the load.
const end = Date.now() + Number(process.env.BENCH_SECONDS) * 1000;

exports.untilTheEnd = (context, next) => next(Date.now() < end);
