// The command behind `naru data --train-tokenizer` alone, for bench/compare_tokenizer_training.py and
// tools/trained_tokenizers.py.
//
//   naru_train_tokenizer OUTPUT VOCAB_SIZE PRE_TOKENIZER PAIR_COUNT_MIN INPUT...
#include <cstdio>
#include <cstdlib>

#include "cli/train_tokenizer.h"

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: naru_train_tokenizer OUTPUT VOCAB_SIZE PRE_TOKENIZER PAIR_COUNT_MIN INPUT...\n");
    return 2;
  }
  naru::cli::TrainTokenizerOptions options;
  options.output = argv[1];
  options.vocab_size = std::atoll(argv[2]);
  options.pre_tokenizer = argv[3];
  options.pair_count_min = std::atoll(argv[4]);
  options.inputs.assign(argv + 5, argv + argc);
  options.json = true;
  const naru::Status status = naru::cli::train_tokenizer_command(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return naru::exit_status(status.error().code);
}
