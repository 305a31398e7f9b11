/* Which form of PKCS#12 a platform reads: 3DES with SHA-1 for those that know no better, or may not. */
#include "unit.h"

#include "../../daemon/keeper/bundle.h"

static bool legacy(const char *platform)
{
	return platform_is_legacy(view_text(platform));
}

#define ALL(list, wanted) \
	for (size_t i = 0; i < COUNT_OF(list); i++) { \
		if (legacy(list[i]) != (wanted)) \
			print_error("%s\n", list[i]); \
		assert_int_equal(legacy(list[i]), wanted); \
	}

TEST(versions_before_the_first_that_reads_the_modern_form_get_the_legacy_one)
{
	static const char *const platforms[] = {
		"ios-17", "ios-12.4", "ios-1", "ipados-17", "macos-14", "macos-10.15", "android-13", "android-9",
		"windows-7", "windows 8.1", "windows-server-2016", "Windows Server 2012 R2",
	};
	ALL(platforms, true)
}

TEST(versions_from_the_first_that_reads_the_modern_form_get_it)
{
	static const char *const platforms[] = {
		"ios-18", "ios-18.1", "ios-26", "ipados-18", "macos-15", "macos-26.1", "android-14", "android-16",
		"windows-10", "Windows 11 23H2", "windows-server-2019", "Windows Server 2025",
	};
	ALL(platforms, false)
}

TEST(a_platform_that_had_to_change_gets_without_a_version_what_every_version_reads)
{
	static const char *const platforms[] = { "ios", "ipados", "iphone", "ipad", "macos", "mac", "android", "ios-",
						 "ios beta" };
	ALL(platforms, true)
}

TEST(windows_without_a_version_reads_both)
{
	static const char *const platforms[] = { "windows", "Windows", "windows-server", "windows server" };
	ALL(platforms, false)
}

TEST(a_platform_that_is_not_known_or_not_given_reads_both)
{
	static const char *const platforms[] = { "", "linux", "thunderbird", "freebsd-14", "io", "s", "an ios-17" };
	ALL(platforms, false)
}

TEST(case_and_what_stands_before_the_version_do_not_count)
{
	static const char *const old[] = { "iOS 17",	  "IOS-17.5",	  "ios17",
					   "macOS 14.6",  "Android 13",	  "iPadOS  17",
					   "Android-9",	  "iPhone OS 12", "macOS Catalina 10.15",
					   "ANDROID (13)" };
	static const char *const new[] = {
		"iOS 18", "ios18", "macOS 15", "macOS Sequoia 15.1", "Android 14", "iOS v18"
	};
	ALL(old, true)
	ALL(new, false)
}

TEST(the_mac_of_older_names_is_always_an_old_one)
{
	static const char *const old[] = { "Mac OS X", "Mac OS X 10.11", "OS X 10.9", "osx" };
	ALL(old, true)
}

TEST(the_legacy_form_can_be_asked_for_by_name)
{
	static const char *const asked[] = { "legacy", "Legacy", "legacy 99999" };
	ALL(asked, true)
}

TEST(a_version_that_is_no_sane_number_counts_as_none)
{
	static const char *const apple[] = { "ios-99999999999999999999999", "ios-x", "macos-100001" };
	ALL(apple, true)
	assert_false(legacy("windows-99999999999999999999999"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_before_the_first_that_reads_the_modern_form_get_the_legacy_one),
		cmocka_unit_test(versions_from_the_first_that_reads_the_modern_form_get_it),
		cmocka_unit_test(a_platform_that_had_to_change_gets_without_a_version_what_every_version_reads),
		cmocka_unit_test(windows_without_a_version_reads_both),
		cmocka_unit_test(a_platform_that_is_not_known_or_not_given_reads_both),
		cmocka_unit_test(case_and_what_stands_before_the_version_do_not_count),
		cmocka_unit_test(the_mac_of_older_names_is_always_an_old_one),
		cmocka_unit_test(the_legacy_form_can_be_asked_for_by_name),
		cmocka_unit_test(a_version_that_is_no_sane_number_counts_as_none),
	};
	return RUN(tests);
}
