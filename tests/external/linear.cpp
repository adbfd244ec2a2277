// Half the mean squared residual of X w + b - y, asked for as docs/howto/external_program.md says, one line each way.
// It reads the numbers that it needs by their names: a program of one's own takes a JSON library.
#include <cstdio>
#include <cstdlib>
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

// The numbers of a named array, flat, and as rows how many lists they are in.
static std::vector<double> numbers(const std::string& line, const std::string& name, size_t from, size_t& lists) {
    const char* at = line.c_str() + line.find("\"" + name + "\": ", from) + name.size() + 4;
    std::vector<double> found;
    int depth = 0;
    lists = 0;
    do {
        if (*at == '[') { ++depth; ++lists; ++at; }
        else if (*at == ']') { --depth; ++at; }
        else if (*at == ',' || *at == ' ') ++at;
        else { char* end; found.push_back(std::strtod(at, &end)); if (end == at) std::abort(); at = end; }
    } while (depth > 0);
    return found;
}

int main(int count, char** words) {
    const double factor = count > 1 ? std::atof(words[1]) : 1.0;
    std::string line;
    while (std::getline(std::cin, line)) {
        size_t rows, none, params = line.find("\"params\": "), data = line.find("\"data\": ");
        const auto w = numbers(line, "w", params, none), b = numbers(line, "b", params, none);
        const auto X = numbers(line, "X", data, rows), y = numbers(line, "y", data, none);
        std::vector<double> slope(w.size() + 1, 0.0);
        double loss = 0;
        for (size_t i = 0; i < y.size(); ++i) {
            double r = b[0] - y[i];
            for (size_t j = 0; j < w.size(); ++j) r += X[i * w.size() + j] * w[j];
            loss += 0.5 * r * r / y.size();
            for (size_t j = 0; j < w.size(); ++j) slope[j] += factor * r * X[i * w.size() + j] / y.size();
            slope[w.size()] += r / y.size();
        }
        std::printf("{\"loss\": %.17g, \"gradient\": {\"b\": %.17g, \"w\": [", loss, slope[w.size()]);
        for (size_t j = 0; j < w.size(); ++j) std::printf(j ? ", %.17g" : "%.17g", slope[j]);
        std::printf("]}}\n");
        std::fflush(stdout);
    }
}
