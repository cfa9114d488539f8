#include "service/guard/conduct.h"

namespace leasegateway {

std::optional<CutReason> Conduct::Read(std::string_view, Clock::time_point) { return {}; }

std::optional<CutReason> Conduct::Look(Clock::time_point) { return {}; }

std::uint64_t Conduct::calls() const { return 0; }

std::uint32_t Conduct::unfinished_calls() const { return 0; }

std::uint64_t Conduct::unfinished_bytes() const { return 0; }

}  // namespace leasegateway
