"""How the benchmarks measure; it knows neither what is measured nor what is compared with."""
