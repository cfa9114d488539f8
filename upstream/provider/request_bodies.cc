#include "upstream/provider/request_bodies.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <utility>

#include "upstream/provider/words.h"

namespace leasegateway {

std::string EncodeCreateLease(v1::BillingMethod method) {
  boost::json::object body;
  const std::string_view word = WordOf(kBillingMethods, method);
  if (!word.empty()) body["billing_method"] = word;
  return boost::json::serialize(body);
}

std::string EncodeFailover(const v1::Failover& failover) {
  boost::json::object settings;
  settings["enabled"] = failover.enabled();
  const std::string_view mode = WordOf(kFailoverModes, failover.mode());
  if (!mode.empty()) settings["mode"] = mode;
  if (!failover.phone_numbers().empty()) {
    boost::json::array& numbers = settings["numbers"].emplace_array();
    for (const std::string& number : failover.phone_numbers()) numbers.emplace_back(number);
  }
  boost::json::object body;
  body["failover"] = std::move(settings);
  return boost::json::serialize(body);
}

std::string EncodeEnableCallForwarding(std::string_view forward_to) {
  boost::json::object body;
  body["to"] = forward_to;
  return boost::json::serialize(body);
}

}  // namespace leasegateway
