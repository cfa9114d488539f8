// Boost's parts that can be compiled once for all files; CMakeLists.txt sets the macros that say
// so.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
